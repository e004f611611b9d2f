#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "lib/tokenizer/vocabulary.hpp"

namespace lathe::tokenizer {

/// The ids of words met before. Text repeats its words, so most need not be worked out again. It
/// belongs to one call of encode, hence to one thread, and never changes a result.
class WordCache {
public:
    /// Appends the ids stored for `key` to `ids`; false if there are none.
    [[nodiscard]] bool append(std::string_view key, std::vector<std::uint32_t>& ids) const;
    /// `key` is not in the cache. Does nothing once the cache is full.
    void store(std::string_view key, std::span<const std::uint32_t> ids);

private:
    struct Entry {
        std::size_t begin;
        std::size_t count;
    };
    std::unordered_map<std::string, Entry, TextHash, std::equal_to<>> entries_;
    std::vector<std::uint32_t> ids_;
};

}  // namespace lathe::tokenizer
