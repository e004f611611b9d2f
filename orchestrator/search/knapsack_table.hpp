#pragma once

#include <cstddef>
#include <vector>

namespace lathe {

/// An option of a unit in the table of the dynamic programme.
struct TableItem {
    std::size_t weight = 0;  ///< in buckets
    double score = 0.0;      ///< finite
};

/// For each unit the index of an item, so that all weights together are at most `capacity` and the
/// sum of scores is lowest; among equal sums the least weight wins, then the first items. Sums are
/// formed from the last unit to the first.
///
/// Time: items x capacity, twice. Memory: about 16 sqrt(units) bytes for each bucket.
/// @pre  each unit has an item of weight 0
/// @throws InternalError
[[nodiscard]] std::vector<std::size_t> solve_table(const std::vector<std::vector<TableItem>>& units,
                                                   std::size_t capacity);

}  // namespace lathe
