#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "lib/encoding/bcq.hpp"
#include "methods/method.hpp"

namespace lathe {

/// What a setting of method "bcq" asks for.
struct BcqTask {
    BcqLayout layout;
    std::size_t n_rounds = 15;  ///< of alternating least squares and nearest levels
    /// Error feedback between columns, with this share of the mean diagonal added to the Gram
    /// matrix; none: without.
    std::optional<double> damping;
    bool refine = false;  ///< then ADMM and coordinate descent; needs feedback
};

/// Solutions in the order of `tasks`. What depends on the Gram matrix alone is computed once for
/// all tasks with the same damping. @throws InternalError  for feedback without a Gram matrix
[[nodiscard]] std::vector<UnitSolution> solve_bcq(std::span<const BcqTask> tasks,
                                                  std::span<const UnitTensor> tensors,
                                                  const UnitStatistics& statistics,
                                                  const kernels::Backend& backend);

}  // namespace lathe
