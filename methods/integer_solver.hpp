#pragma once

#include <algorithm>
#include <iterator>
#include <optional>
#include <span>
#include <vector>

#include "lib/encoding/block_shift.hpp"
#include "lib/encoding/integer.hpp"
#include "methods/error_feedback.hpp"
#include "methods/method.hpp"

namespace lathe {

/// What a setting of method "integer" or "bct" asks for.
struct IntegerTask {
    IntegerLayout layout;
    std::optional<ErrorFeedback> feedback;  ///< none: rounding to nearest
    bool refine = false;                    ///< then ADMM and coordinate descent; needs feedback
    /// Given: the solution is encoded so, its bits and blocks those of `layout`, and its scales are
    /// powers of two if that has shifts.
    std::optional<BlockShiftLayout> blocks = std::nullopt;
    bool whole_range = false;  ///< IntegerGridSettings::whole_range
    unsigned scale_bits = 11;  ///< IntegerGridSettings::scale_bits
};

/// Rough number of floating-point operations for a tensor of this shape.
[[nodiscard]] double integer_flops(const IntegerTask& task, const Shape& shape);

/// Whether a setting with the key `solver` (admm, gptq, rtn) needs the Gram matrix of its inputs.
[[nodiscard]] bool uses_feedback(const Setting& setting);

/// MethodRow::refuses of such settings: feedback where there is no Gram matrix.
[[nodiscard]] std::string refuses_feedback(const Setting& setting, const UnitSpec& unit,
                                           const Shape& shape, DType source_dtype);

/// MethodRow::solve of settings that task_of() makes tasks of.
template <IntegerTask (*task_of)(const Setting&)>
[[nodiscard]] std::vector<UnitSolution> solve_settings(std::span<const Setting> settings,
                                                       std::span<const UnitTensor> tensors,
                                                       const UnitStatistics& statistics,
                                                       const kernels::Backend& backend);

/// Solutions in the order of `tasks`. What depends on the Gram matrix alone is computed once for
/// all tasks with the same feedback, and only one feedback's is kept at a time.
/// @throws InternalError  for feedback without a Gram matrix
[[nodiscard]] std::vector<UnitSolution> solve_integer(std::span<const IntegerTask> tasks,
                                                      std::span<const UnitTensor> tensors,
                                                      const UnitStatistics& statistics,
                                                      const kernels::Backend& backend);

template <IntegerTask (*task_of)(const Setting&)>
std::vector<UnitSolution> solve_settings(std::span<const Setting> settings,
                                         std::span<const UnitTensor> tensors,
                                         const UnitStatistics& statistics,
                                         const kernels::Backend& backend) {
    std::vector<IntegerTask> tasks;
    std::ranges::transform(settings, std::back_inserter(tasks), task_of);
    return solve_integer(tasks, tensors, statistics, backend);
}

}  // namespace lathe
