#include "lib/tokenizer/word_cache.hpp"

namespace lathe::tokenizer {

namespace {
constexpr std::size_t n_entries_max = std::size_t{1} << 18;
}  // namespace

bool WordCache::append(std::string_view key, std::vector<std::uint32_t>& ids) const {
    const auto found = entries_.find(key);
    if (found == entries_.end()) return false;
    const auto begin = ids_.begin() + static_cast<std::ptrdiff_t>(found->second.begin);
    ids.insert(ids.end(), begin, begin + static_cast<std::ptrdiff_t>(found->second.count));
    return true;
}

void WordCache::store(std::string_view key, std::span<const std::uint32_t> ids) {
    if (entries_.size() == n_entries_max) return;
    entries_.emplace(key, Entry{ids_.size(), ids.size()});
    ids_.insert(ids_.end(), ids.begin(), ids.end());
}

}  // namespace lathe::tokenizer
