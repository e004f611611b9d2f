#pragma once

#include <optional>
#include <span>
#include <vector>

#include "lib/encoding/integer.hpp"
#include "methods/method.hpp"

namespace lathe {

/// How GPTQ goes over the columns.
struct ErrorFeedback {
    double damping = 0.01;  ///< share of the mean diagonal added to the Gram matrix
    bool by_power = false;  ///< columns by decreasing diagonal, ties by index; else left to right

    bool operator==(const ErrorFeedback&) const = default;
};

/// What a setting of method "integer" asks for.
struct IntegerTask {
    IntegerLayout layout;
    std::optional<ErrorFeedback> feedback;  ///< none: rounding to nearest
    bool refine = false;                    ///< then ADMM and coordinate descent; needs feedback
};

/// Solutions in the order of `tasks`. What depends on the Gram matrix alone is computed once for
/// all tasks with the same feedback, and only one feedback's is kept at a time.
/// @throws InternalError  for feedback without a Gram matrix
[[nodiscard]] std::vector<UnitSolution> solve_integer(std::span<const IntegerTask> tasks,
                                                      std::span<const UnitTensor> tensors,
                                                      const UnitStatistics& statistics,
                                                      const kernels::Backend& backend);

}  // namespace lathe
