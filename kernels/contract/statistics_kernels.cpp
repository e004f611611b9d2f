#include "kernels/contract/statistics_kernels.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "kernels/contract/grid_checks.hpp"
#include "lib/core/errors.hpp"

// What every backend may take for granted: the public functions check what their comments in the
// header ask for and hand over to the backend. A refusal is a bug in the caller.

namespace lathe::kernels {
namespace {

using checks::require_equal_shape;
using checks::require_length;
using checks::require_shape;

void require_finite(MatrixView<const double> matrix) {
    for (std::size_t i = 0; i < matrix.rows; ++i) {
        for (std::size_t j = i; j < matrix.cols; ++j) {
            if (!std::isfinite(matrix(i, j))) {
                throw DataError("symmetric_eigen: element (" + std::to_string(i) + ", " +
                                std::to_string(j) + ") of a matrix " + matrix.shape_text() +
                                " is not finite");
            }
        }
    }
}

/// Largest eigenvalue first; the largest element of each vector is positive.
void settle(const SymmetricEigenproblem& problem) {
    const std::size_t d = problem.values.size();
    std::vector<std::size_t> order(d);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, std::greater<>(),
                             [&](std::size_t k) { return problem.values[k]; });
    const std::vector<double> values(problem.values.begin(), problem.values.end());
    std::vector<double> vectors(d * d);
    for (std::size_t k = 0; k < d; ++k) {
        std::copy_n(problem.vectors.row(k), d, vectors.data() + k * d);
    }
    for (std::size_t k = 0; k < d; ++k) {
        problem.values[k] = values[order[k]];
        const double* from = vectors.data() + order[k] * d;
        const double* largest = std::max_element(
            from, from + d, [](double a, double b) { return std::abs(a) < std::abs(b); });
        const double sign = *largest < 0.0 ? -1.0 : 1.0;
        std::transform(from, from + d, problem.vectors.row(k), [&](double x) { return sign * x; });
    }
}

}  // namespace

void StatisticsKernels::accumulate_gram(MatrixView<const float> x,
                                        UpperTriangle<float> gram) const {
    if (gram.size != x.cols) {
        throw ShapeError("accumulate_gram: gram " + gram.shape_text() + " does not fit x " +
                         x.shape_text());
    }
    do_accumulate_gram(x, gram);
}

void StatisticsKernels::accumulate_column_statistics(MatrixView<const float> x,
                                                     const ColumnStatistics& statistics) const {
    constexpr const char* function = "accumulate_column_statistics";
    const std::string because = "x " + x.shape_text();
    require_length(function, "sum_abs", statistics.sum_abs.size(), x.cols, because);
    require_length(function, "minimum", statistics.minimum.size(), x.cols, because);
    require_length(function, "maximum", statistics.maximum.size(), x.cols, because);
    do_accumulate_column_statistics(x, statistics);
}

void StatisticsKernels::scale_rows(MatrixView<const float> x, std::span<const float> factors,
                                   MatrixView<float> y) const {
    require_length("scale_rows", "factors", factors.size(), x.rows, "x " + x.shape_text());
    require_equal_shape("scale_rows", "y", y, "x", x);
    do_scale_rows(x, factors, y);
}

void StatisticsKernels::count_largest(MatrixView<const float> x,
                                      std::span<const float> column_weights, std::size_t per_token,
                                      std::span<double> counts) const {
    constexpr const char* function = "count_largest";
    const std::string because = "x " + x.shape_text();
    require_length(function, "column_weights", column_weights.size(), x.cols, because);
    require_length(function, "counts", counts.size(), x.cols, because);
    if (per_token > x.cols) {
        throw ShapeError(std::string(function) + ": per_token is " + std::to_string(per_token) +
                         ", but " + because + " has " + std::to_string(x.cols) + " columns");
    }
    do_count_largest(x, column_weights, per_token, counts);
}

void StatisticsKernels::inverse_factor(MatrixView<const float> gram, const FactorSettings& settings,
                                       MatrixView<float> factor) const {
    constexpr const char* function = "inverse_factor";
    require_shape(function, "gram", gram, gram.cols, gram.cols, "a square matrix");
    require_equal_shape(function, "factor", factor, "gram", gram);
    if (!settings.penalty.empty()) {
        require_length(function, "penalty", settings.penalty.size(), gram.cols,
                       "gram " + gram.shape_text());
    }
    if (!settings.order.empty()) {
        require_length(function, "order", settings.order.size(), gram.cols,
                       "gram " + gram.shape_text());
    }
    do_inverse_factor(gram, settings, factor);
}

void StatisticsKernels::penalised_inverse(MatrixView<const float> a, std::span<const float> penalty,
                                          MatrixView<float> inverse) const {
    constexpr const char* function = "penalised_inverse";
    require_shape(function, "a", a, a.cols, a.cols, "a square matrix");
    require_equal_shape(function, "inverse", inverse, "a", a);
    require_length(function, "penalty", penalty.size(), a.cols, "a " + a.shape_text());
    do_penalised_inverse(a, penalty, inverse);
}

void StatisticsKernels::mirror_upper(MatrixView<float> y) const {
    require_shape("mirror_upper", "y", y, y.cols, y.cols, "a square matrix");
    do_mirror_upper(y);
}

void StatisticsKernels::row_errors(MatrixView<const float> delta, MatrixView<const float> gram,
                                   std::span<double> errors) const {
    const std::string because = "delta " + delta.shape_text();
    require_shape("row_errors", "gram", gram, delta.cols, delta.cols, because);
    require_length("row_errors", "errors", errors.size(), delta.rows, because);
    do_row_errors(delta, gram, errors);
}

void StatisticsKernels::accumulate_stream_gram(MatrixView<const float> x,
                                               MatrixView<double> gram) const {
    require_shape("accumulate_stream_gram", "gram", gram, x.cols, x.cols, "x " + x.shape_text());
    do_accumulate_stream_gram(x, gram);
}

void StatisticsKernels::multiply(MatrixView<const double> a, bool transpose_a,
                                 MatrixView<const double> b, bool transpose_b,
                                 MatrixView<double> y) const {
    const std::size_t m = transpose_a ? a.cols : a.rows;
    const std::size_t k = transpose_a ? a.rows : a.cols;
    const std::size_t n = transpose_b ? b.rows : b.cols;
    if (k != (transpose_b ? b.cols : b.rows)) {
        throw ShapeError("multiply: a " + a.shape_text() + (transpose_a ? " transposed" : "") +
                         " and b " + b.shape_text() + (transpose_b ? " transposed" : "") +
                         " do not fit together");
    }
    require_shape("multiply", "y", y, m, n, "a " + a.shape_text() + ", b " + b.shape_text());
    do_multiply(a, transpose_a, b, transpose_b, y);
}

void StatisticsKernels::symmetric_eigen(std::span<const SymmetricEigenproblem> problems) const {
    for (const SymmetricEigenproblem& problem : problems) {
        constexpr const char* function = "symmetric_eigen";
        const std::size_t d = problem.matrix.cols;
        require_shape(function, "matrix", problem.matrix, d, d, "a square matrix");
        require_equal_shape(function, "vectors", problem.vectors, "matrix", problem.matrix);
        require_length(function, "values", problem.values.size(), d,
                       "matrix " + problem.matrix.shape_text());
        require_finite(problem.matrix);
    }
    do_symmetric_eigen(problems);
    for (const SymmetricEigenproblem& problem : problems) {
        settle(problem);
    }
}

}  // namespace lathe::kernels
