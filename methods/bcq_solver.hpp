#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "lib/encoding/bcq.hpp"
#include "methods/method.hpp"

namespace lathe {

/// What a setting of method "bcq" asks for.
struct BcqTask {
    BcqLayout layout;
    std::size_t n_rounds = 15;  ///< of alternating least squares and nearest levels
    bool feedback = false;      ///< error feedback between columns
    bool descend = false;       ///< then coordinate descent; needs feedback
    double damping = 0.01;      ///< of feedback
};

/// Solutions in the order of `tasks`. The factor of the Gram matrix is made once for all tasks with
/// the same damping. @throws InternalError  for feedback without a Gram matrix
[[nodiscard]] std::vector<UnitSolution> solve_bcq(std::span<const BcqTask> tasks,
                                                  std::span<const UnitTensor> tensors,
                                                  const UnitStatistics& statistics,
                                                  const kernels::Backend& backend);

}  // namespace lathe
