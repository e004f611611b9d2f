#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <tuple>
#include <vector>

#include "orchestrator/search/knapsack.hpp"

namespace lathe::test {

using Units = std::vector<std::vector<Option>>;
using Choice = std::vector<std::size_t>;

inline double score_of(const Units& units, const Choice& choice) {
    double sum = 0.0;
    for (std::size_t u = units.size(); u-- > 0;) {
        sum = units[u][choice[u]].score + sum;
    }
    return sum;
}

inline std::uint64_t bytes_of(const Units& units, const Choice& choice) {
    std::uint64_t sum = 0;
    for (std::size_t u = 0; u < units.size(); ++u) {
        sum += units[u][choice[u]].bytes;
    }
    return sum;
}

/// The definition of the best choice for which `fits` holds: all are tried, in lexicographic order.
template <class Fits>
std::optional<Choice> best_of_all(const Units& units, const Fits& fits) {
    const auto rank = [&](const Choice& choice) {
        return std::tuple(score_of(units, choice), bytes_of(units, choice));
    };
    std::optional<Choice> best;
    Choice choice(units.size(), 0);
    while (true) {
        if (fits(choice) && (!best || rank(choice) < rank(*best))) {
            best = choice;
        }
        std::size_t u = units.size();
        while (u > 0 && ++choice[u - 1] == units[u - 1].size()) {
            choice[--u] = 0;
        }
        if (u == 0) {
            return best;
        }
    }
}

}  // namespace lathe::test
