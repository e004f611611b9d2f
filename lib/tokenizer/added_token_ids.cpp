#include "lib/tokenizer/added_token_ids.hpp"

namespace lathe::tokenizer {

std::optional<std::uint32_t> AddedTokenIds::add(const TokenDeclaration& token) {
    if (token.content.empty()) return std::nullopt;
    if (token.special && specials_.insert(token.content).second)
        special_order_.push_back(token.content);
    const std::uint32_t id = id_of(token.content).value_or(next_id());
    const auto known = by_id_.find(id);
    if (known != by_id_.end() && known->second == token) return id;
    const bool is_new = ids_.insert_or_assign(token.content, id).second;
    by_id_.insert_or_assign(id, token);
    if (is_new && !specials_.contains(token.content)) plain_order_.push_back(token.content);
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
    std::vector<TokenDeclaration> order;
    for (const auto* contents : {&special_order_, &plain_order_}) {
        for (const std::string& content : *contents) {
            const bool is_later_special = contents == &plain_order_ && specials_.contains(content);
            if (!is_later_special) order.push_back(by_id_.at(ids_.find(content)->second));
        }
    }
    return order;
}

}  // namespace lathe::tokenizer
