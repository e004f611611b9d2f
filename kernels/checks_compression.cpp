#include <string>
#include <vector>

#include "kernels/backend.hpp"
#include "kernels/grid_checks.hpp"
#include "lib/core/errors.hpp"

// The public calibration and compression functions: they check what their comments in backend.hpp
// ask for and hand over to the backend. A refusal is a bug in the caller.

namespace lathe::kernels {
namespace {

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

}  // namespace

void Backend::accumulate_gram(MatrixView<const float> x, MatrixView<double> gram) const {
    require_shape("accumulate_gram", "gram", gram, x.cols, x.cols, "x " + x.shape_text());
    do_accumulate_gram(x, gram);
}

void Backend::accumulate_column_statistics(MatrixView<const float> x,
                                           const ColumnStatistics& statistics) const {
    constexpr const char* function = "accumulate_column_statistics";
    const std::string because = "x " + x.shape_text();
    require_length(function, "sum_abs", statistics.sum_abs.size(), x.cols, because);
    require_length(function, "minimum", statistics.minimum.size(), x.cols, because);
    require_length(function, "maximum", statistics.maximum.size(), x.cols, because);
    do_accumulate_column_statistics(x, statistics);
}

void Backend::inverse_factor(MatrixView<const double> gram, double damping,
                             MatrixView<float> factor) const {
    require_shape("inverse_factor", "gram", gram, gram.cols, gram.cols, "a square matrix");
    require_equal_shape("inverse_factor", "factor", factor, "gram", gram);
    do_inverse_factor(gram, damping, factor);
}

void Backend::symmetric_from_upper(MatrixView<const double> upper, std::span<const double> scale,
                                   MatrixView<float> y) const {
    constexpr const char* function = "symmetric_from_upper";
    require_shape(function, "upper", upper, upper.cols, upper.cols, "a square matrix");
    require_equal_shape(function, "y", y, "upper", upper);
    require_length(function, "scale", scale.size(), upper.cols, "upper " + upper.shape_text());
    do_symmetric_from_upper(upper, scale, y);
}

void Backend::row_errors(MatrixView<const float> delta, MatrixView<const float> gram,
                         std::span<double> errors) const {
    const std::string because = "delta " + delta.shape_text();
    require_shape("row_errors", "gram", gram, delta.cols, delta.cols, because);
    require_length("row_errors", "errors", errors.size(), delta.rows, because);
    do_row_errors(delta, gram, errors);
}

void Backend::fit_integer_grid(MatrixView<const float> w, std::span<const float> importance,
                               const IntegerGridSettings& settings, MatrixView<float> scales,
                               MatrixView<float> zeros) const {
    require_grid_arrays("fit_integer_grid", w, settings, scales, zeros);
    require_length("fit_integer_grid", "importance", importance.size(), w.cols,
                   "w " + w.shape_text());
    do_fit_integer_grid(w, importance, settings, scales, zeros);
}

void Backend::round_to_grid(MatrixView<const float> w, const IntegerGridSettings& settings,
                            MatrixView<const float> scales, MatrixView<const float> zeros,
                            MatrixView<std::uint8_t> codes, MatrixView<float> values) const {
    require_grid_arrays("round_to_grid", w, settings, scales, zeros);
    require_equal_shape("round_to_grid", "codes", codes, "w", w);
    require_equal_shape("round_to_grid", "values", values, "w", w);
    do_round_to_grid(w, settings, scales, zeros, codes, values);
}

void Backend::gptq(MatrixView<float> w, MatrixView<const float> factor,
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

}  // namespace lathe::kernels
