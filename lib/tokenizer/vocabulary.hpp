#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "lib/tokenizer/json_place.hpp"

namespace lathe::tokenizer {

/// Lets a map with std::string keys be searched with a string_view.
struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
        return std::hash<std::string_view>{}(text);
    }
};

/// Tokens and their ids, each id of one token only. Ids may leave gaps.
class Vocabulary {
public:
    /// `place` is an object {token: id}.
    /// @throws DataError  if two tokens share an id, or an id is above id_bound
    explicit Vocabulary(const JsonPlace& place);
    /// Token i has id i. A token that stands there several times is found as the last of them.
    explicit Vocabulary(const std::vector<std::string>& tokens);
    Vocabulary(const Vocabulary&) = delete;  // token_of_ points into ids_
    Vocabulary& operator=(const Vocabulary&) = delete;

    /// Guards against a broken file that would make us allocate without end.
    static constexpr std::uint32_t id_bound = 1U << 26;

    [[nodiscard]] std::optional<std::uint32_t> id_of(std::string_view token) const;
    /// None if no token has this id.
    [[nodiscard]] const std::string* token_of(std::uint32_t id) const;
    /// One more than the largest id.
    [[nodiscard]] std::size_t id_limit() const { return token_of_.size(); }
    /// How many tokens there are, without the gaps.
    [[nodiscard]] std::size_t size() const { return n_tokens_; }

private:
    std::unordered_map<std::string, std::uint32_t, TextHash, std::equal_to<>> ids_;
    std::vector<const std::string*> token_of_;  // by id; null in gaps
    std::size_t n_tokens_ = 0;
};

}  // namespace lathe::tokenizer
