#include "lib/core/edit_distance.hpp"

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

namespace lathe {

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i + 1;
        for (std::size_t j = 0; j < b.size(); ++j) {
            const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
        }
    }
    return row.back();
}

std::vector<std::string> nearest_words(std::string_view word, const std::vector<std::string>& words,
                                       std::size_t count) {
    std::vector<std::pair<std::size_t, std::size_t>> ranked;  // distance, place
    std::set<std::string_view> seen;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::size_t longest = std::max(word.size(), words[i].size());
        const std::size_t difference = longest - std::min(word.size(), words[i].size());
        if (2 * difference > longest || !seen.insert(words[i]).second) {
            continue;
        }
        const std::size_t distance = edit_distance(word, words[i]);
        if (2 * distance <= longest) {
            ranked.emplace_back(distance, i);
        }
    }
    std::ranges::sort(ranked);
    std::vector<std::string> nearest;
    for (const auto& [distance, place] : ranked) {
        if (nearest.size() == count) {
            break;
        }
        nearest.push_back(words[place]);
    }
    return nearest;
}

}  // namespace lathe
