#include "kernels/contract/rounding_kernels.hpp"

#include <string>
#include <vector>

#include "kernels/contract/grid_checks.hpp"
#include "lib/core/errors.hpp"

// What every backend may take for granted: the public functions check what their comments in the
// header ask for and hand over to the backend. A refusal is a bug in the caller.

namespace lathe::kernels {
namespace {

using checks::require_binary;
using checks::require_equal_shape;
using checks::require_grid_arrays;
using checks::require_length;
using checks::require_shape;

void require_permutation(const char* function, std::span<const std::uint32_t> order) {
    std::vector<bool> seen(order.size(), false);
    for (const std::uint32_t column : order) {
        if (column >= order.size() || seen[column]) {
            throw InternalError(std::string(function) + ": order is not a permutation of " +
                                std::to_string(order.size()) +
                                " columns: " + std::to_string(column) +
                                (column >= order.size() ? " is too large" : " comes twice"));
        }
        seen[column] = true;
    }
}

void require_codes(const char* function, const MatrixView<const float>& w,
                   const BinaryCodeSettings& settings, const BinaryCodes& codes) {
    require_binary(function, w, settings, codes.scales, codes.offsets);
    require_equal_shape(function, "codes", codes.codes, "w", w);
}

void require_keep(const char* function, const MatrixView<const std::uint8_t>& keep,
                  const MatrixView<const float>& w) {
    if (keep.rows > 0) {
        require_equal_shape(function, "keep", keep, "w", w);
    }
}

}  // namespace

void RoundingKernels::fit_binary_codes(MatrixView<const float> w, std::span<const float> importance,
                                       const BinaryCodeSettings& settings,
                                       MatrixView<const std::uint8_t> keep,
                                       const BinaryCodes& codes) const {
    require_codes("fit_binary_codes", w, settings, codes);
    require_keep("fit_binary_codes", keep, w);
    require_length("fit_binary_codes", "importance", importance.size(), w.cols,
                   "w " + w.shape_text());
    do_fit_binary_codes(w, importance, settings, keep, codes);
}

void RoundingKernels::round_to_levels(MatrixView<const float> w, const BinaryCodeSettings& settings,
                                      const BinaryCodes& codes, MatrixView<float> values) const {
    require_codes("round_to_levels", w, settings, codes);
    require_equal_shape("round_to_levels", "values", values, "w", w);
    do_round_to_levels(w, settings, codes, values);
}

void RoundingKernels::sweep_binary_codes(MatrixView<float> w, MatrixView<const float> factor,
                                         std::span<const float> importance,
                                         const BinaryCodeSettings& settings,
                                         const BinaryCodes& codes) const {
    constexpr const char* function = "sweep_binary_codes";
    require_codes(function, w, settings, codes);
    require_shape(function, "factor", factor, w.cols, w.cols, "w " + w.shape_text());
    require_length(function, "importance", importance.size(), w.cols, "w " + w.shape_text());
    do_sweep_binary_codes(w, factor, importance, settings, codes);
}

void RoundingKernels::descend_on_binary_codes(
    MatrixView<const float> w, MatrixView<const float> gram, const BinaryCodeSettings& settings,
    std::size_t n_passes, MatrixView<const std::uint8_t> keep, const BinaryCodes& codes,
    MatrixView<float> values) const {
    constexpr const char* function = "descend_on_binary_codes";
    require_codes(function, w, settings, codes);
    require_keep(function, keep, w);
    require_shape(function, "gram", gram, w.cols, w.cols, "w " + w.shape_text());
    require_equal_shape(function, "values", values, "w", w);
    do_descend_on_binary_codes(w, gram, settings, n_passes, keep, codes, values);
}

void RoundingKernels::fit_integer_grid(MatrixView<const float> w, std::span<const float> importance,
                                       const IntegerGridSettings& settings,
                                       MatrixView<float> scales, MatrixView<float> zeros) const {
    require_grid_arrays("fit_integer_grid", w, settings, scales, zeros);
    require_length("fit_integer_grid", "importance", importance.size(), w.cols,
                   "w " + w.shape_text());
    do_fit_integer_grid(w, importance, settings, scales, zeros);
}

void RoundingKernels::round_to_grid(MatrixView<const float> w, const IntegerGridSettings& settings,
                                    MatrixView<const float> scales, MatrixView<const float> zeros,
                                    MatrixView<std::uint8_t> codes,
                                    MatrixView<float> values) const {
    require_grid_arrays("round_to_grid", w, settings, scales, zeros);
    require_equal_shape("round_to_grid", "codes", codes, "w", w);
    require_equal_shape("round_to_grid", "values", values, "w", w);
    do_round_to_grid(w, settings, scales, zeros, codes, values);
}

void RoundingKernels::gptq(MatrixView<float> w, MatrixView<const float> factor,
                           std::span<const float> importance, std::span<const std::uint32_t> order,
                           const IntegerGridSettings& settings, MatrixView<float> scales,
                           MatrixView<float> zeros, MatrixView<std::uint8_t> codes) const {
    const std::string because = "w " + w.shape_text();
    require_grid_arrays("gptq", w, settings, scales, zeros);
    require_shape("gptq", "factor", factor, w.cols, w.cols, because);
    require_length("gptq", "importance", importance.size(), w.cols, because);
    if (!order.empty()) {
        require_length("gptq", "order", order.size(), w.cols, because);
        require_permutation("gptq", order);
    }
    require_equal_shape("gptq", "codes", codes, "w", w);
    do_gptq(w, factor, importance, order, settings, scales, zeros, codes);
}

void RoundingKernels::descend_on_grid(MatrixView<const float> w, MatrixView<const float> gram,
                                      const IntegerGridSettings& settings, std::size_t n_passes,
                                      MatrixView<const std::uint8_t> keep, MatrixView<float> scales,
                                      MatrixView<const float> zeros, MatrixView<std::uint8_t> codes,
                                      MatrixView<float> values) const {
    constexpr const char* function = "descend_on_grid";
    require_grid_arrays(function, w, settings, scales, zeros);
    require_shape(function, "gram", gram, w.cols, w.cols, "w " + w.shape_text());
    require_keep(function, keep, w);
    require_equal_shape(function, "codes", codes, "w", w);
    require_equal_shape(function, "values", values, "w", w);
    do_descend_on_grid(w, gram, settings, n_passes, keep, scales, zeros, codes, values);
}

}  // namespace lathe::kernels
