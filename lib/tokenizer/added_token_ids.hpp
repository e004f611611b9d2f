#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "lib/tokenizer/token_declaration.hpp"
#include "lib/tokenizer/vocabulary.hpp"

namespace lathe::tokenizer {

/// Added tokens and their ids, in the order in which they are added, by the rule of the original
/// library: a token of the vocabulary keeps its id, any other gets the next one. The ids that files
/// state do not count. Added again, a token takes the new switches.
class AddedTokenIds {
public:
    /// `vocabulary` must outlive the object.
    explicit AddedTokenIds(const Vocabulary& vocabulary) : vocabulary_(&vocabulary) {}

    /// The id it has now; none if the content is empty, which adds nothing.
    std::optional<std::uint32_t> add(const TokenDeclaration& token);

    /// Of an added token or one of the vocabulary.
    [[nodiscard]] std::optional<std::uint32_t> id_of(std::string_view content) const;

    /// In the order in which a text is searched for them: the special ones first.
    [[nodiscard]] std::vector<TokenDeclaration> in_search_order() const;

    /// By id, with the switches that count.
    [[nodiscard]] const std::map<std::uint32_t, TokenDeclaration>& by_id() const { return by_id_; }

    /// Whether any declaration of it called it special.
    [[nodiscard]] bool is_special(std::string_view content) const {
        return specials_.contains(std::string(content));
    }

private:
    [[nodiscard]] std::uint32_t next_id() const;

    const Vocabulary* vocabulary_;
    std::unordered_map<std::string, std::uint32_t, TextHash, std::equal_to<>> ids_;
    std::map<std::uint32_t, TokenDeclaration> by_id_;
    std::unordered_set<std::string> specials_;
    std::vector<std::string> special_order_;
    std::vector<std::string> plain_order_;
};

}  // namespace lathe::tokenizer
