#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

/// Insertions, deletions and replacements of one character that turn one word into the other.
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

/// The words nearest to `word` by edit_distance(), nearest first, equals in their order: at most
/// `count`, each once, and none that has less than half of the longer word in common.
[[nodiscard]] std::vector<std::string> nearest_words(std::string_view word,
                                                     const std::vector<std::string>& words,
                                                     std::size_t count);

}  // namespace lathe
