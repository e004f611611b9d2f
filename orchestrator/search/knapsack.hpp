#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace lathe {

/// One choice for one unit: what it costs and how bad it is.
struct Option {
    std::uint64_t bytes = 0;
    double score = 0.0;    ///< >= 0, finite; the lower the better; scores of units add up
    double seconds = 0.0;  ///< of the unit's products; nothing here looks at it (time_limit.hpp)
};

/// Indices of the options that no other beats (another with no more bytes and no higher score, one
/// of them lower; or an equal one that comes first), by increasing bytes.
[[nodiscard]] std::vector<std::size_t> pareto_front(const std::vector<Option>& options);

/// Multiple-choice knapsack: one option of each unit, total bytes at most `limit_bytes`, the sum
/// of scores as low as possible. Deterministic; among equal sums the one with fewer bytes wins,
/// then the one whose choices come first.
///
/// Dynamic programming over bytes in units of their common divisor. If that would need more than
/// `max_buckets`, sizes are rounded up to buckets, a Lagrangian solution competes, and what is left
/// of the budget is spent greedily on single better choices (best gain per byte first), so the
/// result is never worse than the greedy one, nor than the optimum of a limit that is lower by
/// limit_bytes / max_buckets for each unit. Options that cannot be in the optimum (Lagrangian
/// bound) are left out first, so many large problems are still solved exactly.
///
/// Time: units x options x buckets. Memory: about 16 sqrt(units) bytes for each bucket.
/// @pre  each unit has an option; scores as above; max_buckets > 0
/// @returns  one option index for each unit; none if even the smallest do not fit
/// @throws InternalError  if a precondition does not hold
[[nodiscard]] std::optional<std::vector<std::size_t>> solve_knapsack(
    const std::vector<std::vector<Option>>& units, std::uint64_t limit_bytes,
    std::size_t max_buckets = 200000);

/// The same problem by the greedy algorithm: from the fewest bytes of each unit, the single better
/// choice with the best gain per byte, until none fits. What the knapsack is compared with.
[[nodiscard]] std::optional<std::vector<std::size_t>> solve_greedy(
    const std::vector<std::vector<Option>>& units, std::uint64_t limit_bytes);

}  // namespace lathe
