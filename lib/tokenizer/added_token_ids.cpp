#include "lib/tokenizer/added_token_ids.hpp"

namespace lathe::tokenizer {

std::optional<std::uint32_t> AddedTokenIds::add(const TokenDeclaration& token) {
    if (token.content.empty()) return std::nullopt;
    if (token.special && specials_.insert(token.content).second) special_order_.push_back(token);
    const std::uint32_t id = id_of(token.content).value_or(next_id());
    const auto known = by_id_.find(id);
    if (known != by_id_.end() && known->second == token) return id;
    ids_.insert_or_assign(token.content, id);
    by_id_.insert_or_assign(id, token);
    if (!specials_.contains(token.content)) plain_order_.push_back(token);
    return id;
}

std::optional<std::uint32_t> AddedTokenIds::id_of(std::string_view content) const {
    const auto added = ids_.find(content);
    return added == ids_.end() ? vocabulary_->id_of(content) : std::optional(added->second);
}

/// Behind all that were added, and behind the vocabulary as if its ids had no gaps.
std::uint32_t AddedTokenIds::next_id() const {
    const auto n_vocabulary = static_cast<std::uint32_t>(vocabulary_->size());
    if (by_id_.empty()) return n_vocabulary;
    const std::uint32_t largest = by_id_.rbegin()->first;
    return largest >= n_vocabulary ? largest + 1 : n_vocabulary;
}

std::vector<TokenDeclaration> AddedTokenIds::in_search_order() const {
    std::vector<TokenDeclaration> order = special_order_;
    order.insert(order.end(), plain_order_.begin(), plain_order_.end());
    return order;
}

}  // namespace lathe::tokenizer
