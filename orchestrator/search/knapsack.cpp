#include "orchestrator/search/knapsack.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <tuple>
#include <utility>

#include "lib/core/errors.hpp"
#include "orchestrator/search/knapsack_table.hpp"

namespace lathe {
namespace {

/// An option on its unit's Pareto front.
struct Point {
    std::size_t option = 0;   ///< index in the caller's list
    std::uint64_t extra = 0;  ///< bytes above the unit's cheapest option
    double score = 0.0;
};

/// The problem relative to the minimal solution: each unit's front, its first point with extra 0,
/// and how many bytes all extras together may take.
struct Problem {
    std::vector<std::vector<Point>> fronts;
    std::uint64_t slack = 0;
};

/// For each unit a position on its front.
using Positions = std::vector<std::size_t>;

void require_valid(const std::vector<std::vector<Option>>& units) {
    for (std::size_t u = 0; u < units.size(); ++u) {
        if (units[u].empty()) {
            throw InternalError("knapsack: unit " + std::to_string(u) + " has no option");
        }
        for (const Option& option : units[u]) {
            if (std::isfinite(option.score) && option.score >= 0.0) {
                continue;
            }
            throw InternalError("knapsack: unit " + std::to_string(u) + " has an option of score " +
                                std::to_string(option.score) + "; expected a finite one >= 0");
        }
    }
}

/// Nothing if even the minimal solution is above the limit.
std::optional<Problem> make_problem(const std::vector<std::vector<Option>>& units,
                                    std::uint64_t limit_bytes) {
    Problem problem{{}, limit_bytes};
    std::vector<std::vector<std::size_t>> indices;
    for (const auto& options : units) {
        indices.push_back(pareto_front(options));
        const std::uint64_t least = options[indices.back().front()].bytes;
        if (least > problem.slack) {
            return std::nullopt;
        }
        problem.slack -= least;
    }
    for (std::size_t u = 0; u < units.size(); ++u) {
        auto& front = problem.fronts.emplace_back();
        for (const std::size_t i : indices[u]) {
            const std::uint64_t extra = units[u][i].bytes - units[u][indices[u].front()].bytes;
            if (extra <= problem.slack) {
                front.push_back({i, extra, units[u][i].score});
            }
        }
    }
    return problem;
}

std::uint64_t extra_bytes(const Problem& problem, const Positions& positions) {
    std::uint64_t total = 0;
    for (std::size_t u = 0; u < positions.size(); ++u) {
        total += problem.fronts[u][positions[u]].extra;
    }
    return total;
}

/// Added from the last unit to the first, as the dynamic programme does.
double total_score(const Problem& problem, const Positions& positions) {
    double total = 0.0;
    for (std::size_t u = positions.size(); u-- > 0;) {
        total = problem.fronts[u][positions[u]].score + total;
    }
    return total;
}

std::vector<std::size_t> options_of(const Problem& problem, const Positions& positions) {
    std::vector<std::size_t> options;
    options.reserve(positions.size());
    for (std::size_t u = 0; u < positions.size(); ++u) {
        options.push_back(problem.fronts[u][positions[u]].option);
    }
    return options;
}

bool is_better(const Problem& problem, const Positions& a, const Positions& b) {
    return std::tuple(total_score(problem, a), extra_bytes(problem, a), options_of(problem, a)) <
           std::tuple(total_score(problem, b), extra_bytes(problem, b), options_of(problem, b));
}

/// Score that going from `from` to `to` wins for each byte it costs.
double gain_per_byte(const Point& from, const Point& to) {
    return (from.score - to.score) / static_cast<double>(to.extra - from.extra);
}

/// The linear relaxation: steps along the lower convex hulls of all fronts, best gain per byte
/// first, up to the first that does not fit. Its gain per byte is the price of a byte, the
/// multiplier that makes the Lagrangian bound tightest; 0 if everything fits.
struct Relaxation {
    Positions positions;
    double price = 0.0;
};

Positions lower_hull(const std::vector<Point>& front) {
    Positions hull;
    for (std::size_t i = 0; i < front.size(); ++i) {
        while (hull.size() >= 2) {
            const Point& last = front[hull.back()];
            if (gain_per_byte(front[hull[hull.size() - 2]], last) >=
                gain_per_byte(last, front[i])) {
                break;
            }
            hull.pop_back();
        }
        hull.push_back(i);
    }
    return hull;
}

Relaxation relax(const Problem& problem) {
    struct Step {
        double gain;
        std::size_t unit;
        std::size_t to;
        std::uint64_t bytes;
    };
    std::vector<Step> steps;
    for (std::size_t u = 0; u < problem.fronts.size(); ++u) {
        const auto& front = problem.fronts[u];
        const Positions hull = lower_hull(front);
        for (std::size_t i = 1; i < hull.size(); ++i) {
            const Point& from = front[hull[i - 1]];
            const Point& to = front[hull[i]];
            steps.push_back({gain_per_byte(from, to), u, hull[i], to.extra - from.extra});
        }
    }
    // Along one hull gains do not increase, so a stable sort keeps a unit's steps in order.
    std::stable_sort(steps.begin(), steps.end(),
                     [](const Step& a, const Step& b) { return a.gain > b.gain; });

    Relaxation result{Positions(problem.fronts.size(), 0), 0.0};
    std::uint64_t left = problem.slack;
    for (const Step& step : steps) {
        if (step.bytes > left) {
            result.price = step.gain;
            break;
        }
        left -= step.bytes;
        result.positions[step.unit] = step.to;
    }
    return result;
}

/// Spends what is left of the budget on single better choices, best gain per byte first, until
/// none fits. From the minimal solution this is the greedy algorithm; it begins with the steps of
/// relax(), so filling up the relaxation gives the same.
void fill_up(const Problem& problem, Positions& positions) {
    const std::size_t n_units = positions.size();
    std::uint64_t left = problem.slack - extra_bytes(problem, positions);
    struct Move {
        double gain = -1.0;  ///< -1: none that fits
        std::size_t to = 0;
    };
    const auto best_move = [&](std::size_t u) {
        const auto& front = problem.fronts[u];
        const Point& now = front[positions[u]];
        Move best;
        for (std::size_t i = positions[u] + 1; i < front.size(); ++i) {
            if (front[i].extra - now.extra > left) {
                break;
            }
            const double gain = gain_per_byte(now, front[i]);
            if (gain > best.gain) {
                best = {gain, i};
            }
        }
        return best;
    };

    std::vector<Move> moves(n_units);
    for (std::size_t u = 0; u < n_units; ++u) {
        moves[u] = best_move(u);
    }
    while (true) {
        std::size_t best = 0;
        for (std::size_t u = 1; u < n_units; ++u) {
            if (moves[u].gain > moves[best].gain) {
                best = u;
            }
        }
        if (n_units == 0 || moves[best].gain < 0.0) {
            return;
        }
        const auto& front = problem.fronts[best];
        const std::uint64_t cost = front[moves[best].to].extra - front[positions[best]].extra;
        if (cost <= left) {
            left -= cost;
            positions[best] = moves[best].to;
        }
        // Else the move was found while more was left. Moves of other units stay valid or are
        // found out in the same way: what is left never grows.
        moves[best] = best_move(best);
    }
}

/// For each unit the positions that can be part of a solution at least as good as one of score
/// `upper`: those whose Lagrangian bound does not exceed it. With hundreds of units the bound is
/// tight and one to three positions remain.
std::vector<Positions> prune(const Problem& problem, double price, double upper) {
    const auto priced = [&](const Point& p) {
        return p.score + price * static_cast<double>(p.extra);
    };
    std::vector<double> least;
    double sum = 0.0;
    for (const auto& front : problem.fronts) {
        double value = std::numeric_limits<double>::infinity();
        for (const Point& point : front) {
            value = std::min(value, priced(point));
        }
        least.push_back(value);
        sum += value;
    }
    const double credit = price * static_cast<double>(problem.slack);
    // The tolerance covers the rounding of these sums, so that equally good solutions survive.
    const double gap = upper - (sum - credit) + 1e-10 * (sum + credit + upper);

    std::vector<Positions> kept(problem.fronts.size());
    for (std::size_t u = 0; u < kept.size(); ++u) {
        for (std::size_t i = 0; i < problem.fronts[u].size(); ++i) {
            if (priced(problem.fronts[u][i]) - least[u] <= gap) {
                kept[u].push_back(i);
            }
        }
    }
    return kept;
}

/// Solves what pruning has left with the table, sizes rounded up to buckets where needed.
struct TableSolution {
    Positions positions;
    bool exact = false;  ///< nothing was rounded
};

TableSolution solve_with_table(const Problem& problem, const std::vector<Positions>& kept,
                               std::size_t max_buckets) {
    std::uint64_t slack = problem.slack;
    std::uint64_t divisor = 0;
    for (std::size_t u = 0; u < kept.size(); ++u) {
        const auto& front = problem.fronts[u];
        const std::uint64_t least = front[kept[u].front()].extra;
        slack -= least;
        for (const std::size_t i : kept[u]) {
            divisor = std::gcd(divisor, front[i].extra - least);
        }
    }
    if (divisor == 0) {
        divisor = 1;
    }  // no unit has a choice
    const bool exact = slack / divisor < max_buckets;
    const std::uint64_t bucket = exact ? divisor : divisor * (slack / divisor / max_buckets + 1);
    const auto capacity = static_cast<std::size_t>(slack / bucket);

    // Items in the caller's order, because the table prefers the first of equals.
    std::vector<Positions> order = kept;
    std::vector<std::vector<TableItem>> items(kept.size());
    for (std::size_t u = 0; u < kept.size(); ++u) {
        const auto& front = problem.fronts[u];
        std::sort(order[u].begin(), order[u].end(),
                  [&](std::size_t a, std::size_t b) { return front[a].option < front[b].option; });
        for (const std::size_t i : order[u]) {
            const std::uint64_t bytes = front[i].extra - front[kept[u].front()].extra;
            const std::uint64_t weight = bytes / bucket + (bytes % bucket != 0 ? 1 : 0);
            items[u].push_back({static_cast<std::size_t>(weight), front[i].score});
        }
    }
    TableSolution solution{solve_table(items, capacity), exact};
    for (std::size_t u = 0; u < kept.size(); ++u) {
        solution.positions[u] = order[u][solution.positions[u]];
    }
    return solution;
}

}  // namespace

std::vector<std::size_t> pareto_front(const std::vector<Option>& options) {
    std::vector<std::size_t> order(options.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return std::tuple(options[a].bytes, options[a].score, a) <
               std::tuple(options[b].bytes, options[b].score, b);
    });
    std::vector<std::size_t> front;
    for (const std::size_t i : order) {
        if (front.empty() || options[i].score < options[front.back()].score) {
            front.push_back(i);
        }
    }
    return front;
}

std::optional<std::vector<std::size_t>> solve_knapsack(
    const std::vector<std::vector<Option>>& units, std::uint64_t limit_bytes,
    std::size_t max_buckets) {
    if (max_buckets == 0) {
        throw InternalError("knapsack: max_buckets is 0");
    }
    require_valid(units);
    const std::optional<Problem> problem = make_problem(units, limit_bytes);
    if (!problem) {
        return std::nullopt;
    }

    Relaxation relaxation = relax(*problem);
    Positions best = std::move(relaxation.positions);
    fill_up(*problem, best);
    const std::vector<Positions> kept =
        prune(*problem, relaxation.price, total_score(*problem, best));

    TableSolution table = solve_with_table(*problem, kept, max_buckets);
    if (!table.exact) {
        fill_up(*problem, table.positions);
    }
    if (table.exact || is_better(*problem, table.positions, best)) {
        best = std::move(table.positions);
    }
    return options_of(*problem, best);
}

std::optional<std::vector<std::size_t>> solve_greedy(const std::vector<std::vector<Option>>& units,
                                                     std::uint64_t limit_bytes) {
    require_valid(units);
    const std::optional<Problem> problem = make_problem(units, limit_bytes);
    if (!problem) {
        return std::nullopt;
    }
    Positions positions(problem->fronts.size(), 0);
    fill_up(*problem, positions);
    return options_of(*problem, positions);
}

}  // namespace lathe
