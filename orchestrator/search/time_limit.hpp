#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <vector>

#include "orchestrator/search/knapsack.hpp"

namespace lathe {

/// What all units together may take.
struct SearchLimits {
    std::uint64_t bytes = 0;
    double seconds = std::numeric_limits<double>::infinity();
};

/// Indices of the options that no other beats in bytes, seconds and score (another with none of
/// them higher and one lower; or an equal one that comes first), by increasing bytes, then falling
/// score.
[[nodiscard]] std::vector<std::size_t> undominated(const std::vector<Option>& options);

/// solve_knapsack() or solve_greedy().
using SolveWithinBytes = std::function<std::optional<std::vector<std::size_t>>(
    const std::vector<std::vector<Option>>& units, std::uint64_t limit_bytes)>;

/// The problem of knapsack.hpp under both limits: the lowest sum of scores with the sum of
/// Option::seconds below a limit too. If what `solve` finds is too slow, a second gets a price that
/// is added to the scores; the lowest price at which the answer is fast enough is found by
/// bisection (Lagrangian relaxation), and what is left of both limits is spent on single better
/// choices, the largest gain first. So the answer is optimal for its own time, which may stay
/// below the limit.
/// @returns  nothing if `solve` finds nothing within both limits
[[nodiscard]] std::optional<std::vector<std::size_t>> solve_within(
    const std::vector<std::vector<Option>>& units, const SearchLimits& limits,
    const SolveWithinBytes& solve);

/// The least seconds within a limit of bytes; nothing if even the smallest options do not fit.
[[nodiscard]] std::optional<std::vector<std::size_t>> solve_fastest(
    const std::vector<std::vector<Option>>& units, std::uint64_t limit_bytes);

[[nodiscard]] double seconds_of(const std::vector<std::vector<Option>>& units,
                                const std::vector<std::size_t>& choice);

}  // namespace lathe
