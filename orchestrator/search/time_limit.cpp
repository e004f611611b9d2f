#include "orchestrator/search/time_limit.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

namespace lathe {
namespace {

using Units = std::vector<std::vector<Option>>;
using Choice = std::vector<std::size_t>;

/// How often bisection halves the interval of prices; the interval found first is at most a factor
/// of two wide.
constexpr int bisections = 20;
constexpr int doublings = 80;

/// The units with options scored as score * their score + second * their seconds.
Units priced(const Units& units, double score, double second) {
    Units result = units;
    for (auto& options : result) {
        for (Option& option : options) {
            option.score = score * option.score + second * option.seconds;
        }
    }
    return result;
}

struct Sums {
    std::uint64_t bytes = 0;
    double seconds = 0.0;
    double score = 0.0;
};

Sums sums_of(const Units& units, const Choice& choice) {
    Sums sums;
    for (std::size_t u = 0; u < choice.size(); ++u) {
        const Option& option = units[u][choice[u]];
        sums.bytes += option.bytes;
        sums.seconds += option.seconds;
        sums.score += option.score;
    }
    return sums;
}

/// Single better choices within both limits, the largest gain first, until there is none.
void fill_up(const Units& units, const SearchLimits& limits, Choice& choice) {
    while (true) {
        const Sums now = sums_of(units, choice);
        double best_gain = 0.0;
        std::pair<std::size_t, std::size_t> best;
        for (std::size_t u = 0; u < units.size(); ++u) {
            const Option& own = units[u][choice[u]];
            for (std::size_t i = 0; i < units[u].size(); ++i) {
                const Option& other = units[u][i];
                if (own.score - other.score > best_gain &&
                    now.bytes - own.bytes + other.bytes <= limits.bytes &&
                    now.seconds - own.seconds + other.seconds <= limits.seconds) {
                    best_gain = own.score - other.score;
                    best = {u, i};
                }
            }
        }
        if (best_gain == 0.0) {
            return;
        }
        choice[best.first] = best.second;
    }
}

}  // namespace

std::vector<std::size_t> undominated(const std::vector<Option>& options) {
    const auto beats = [&](std::size_t a, std::size_t b) {
        const Option& x = options[a];
        const Option& y = options[b];
        if (x.bytes > y.bytes || x.seconds > y.seconds || x.score > y.score) {
            return false;
        }
        return x.bytes < y.bytes || x.seconds < y.seconds || x.score < y.score || a < b;
    };
    std::vector<std::size_t> kept;
    for (std::size_t i = 0; i < options.size(); ++i) {
        bool is_beaten = false;
        for (std::size_t other = 0; other < options.size() && !is_beaten; ++other) {
            is_beaten = other != i && beats(other, i);
        }
        if (!is_beaten) {
            kept.push_back(i);
        }
    }
    std::ranges::sort(kept, {}, [&](std::size_t i) {
        return std::tuple(options[i].bytes, -options[i].score, i);
    });
    return kept;
}

double seconds_of(const Units& units, const Choice& choice) {
    return sums_of(units, choice).seconds;
}

std::optional<Choice> solve_fastest(const Units& units, std::uint64_t limit_bytes) {
    return solve_knapsack(priced(units, 0.0, 1.0), limit_bytes);
}

std::optional<Choice> solve_within(const Units& units, const SearchLimits& limits,
                                   const SolveWithinBytes& solve) {
    std::optional<Choice> unpriced = solve(units, limits.bytes);
    if (!unpriced || seconds_of(units, *unpriced) <= limits.seconds) {
        return unpriced;
    }
    const Sums start = sums_of(units, *unpriced);
    const auto at_price = [&](double price) -> std::optional<Choice> {
        auto choice = solve(priced(units, 1.0, price), limits.bytes);
        return choice && seconds_of(units, *choice) <= limits.seconds ? choice : std::nullopt;
    };
    // A price of the order at which the time weighs as much as the scores.
    double high = (start.score > 0.0 ? start.score : 1.0) / start.seconds;
    std::optional<Choice> best = at_price(high);
    double low = 0.0;
    for (int i = 0; i < doublings && !best; ++i) {
        low = high;
        high *= 2.0;
        best = at_price(high);
    }
    if (!best) {
        // No price is high enough, or `solve` does not find what is fast: time alone.
        best = solve_fastest(units, limits.bytes);
        if (!best || seconds_of(units, *best) > limits.seconds) {
            return std::nullopt;
        }
    }
    for (int i = 0; i < bisections; ++i) {
        const double price = 0.5 * (low + high);
        if (auto choice = at_price(price)) {
            high = price;
            const Sums found = sums_of(units, *choice);
            const Sums known = sums_of(units, *best);
            if (std::tuple(found.score, found.bytes) < std::tuple(known.score, known.bytes)) {
                best = std::move(choice);
            }
        } else {
            low = price;
        }
    }
    fill_up(units, limits, *best);
    return best;
}

}  // namespace lathe
