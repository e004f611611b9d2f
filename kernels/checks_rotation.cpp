#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "kernels/backend.hpp"
#include "kernels/grid_checks.hpp"
#include "lib/core/errors.hpp"

// The public functions for rotations: they check, hand over to the backend and, for eigenvectors,
// settle what the backends may choose freely.

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

void Backend::accumulate_exact_gram(MatrixView<const float> x, MatrixView<double> gram) const {
    require_shape("accumulate_exact_gram", "gram", gram, x.cols, x.cols, "x " + x.shape_text());
    do_accumulate_exact_gram(x, gram);
}

void Backend::multiply(MatrixView<const double> a, bool transpose_a, MatrixView<const double> b,
                       bool transpose_b, MatrixView<double> y) const {
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

void Backend::symmetric_eigen(std::span<const SymmetricEigenproblem> problems) const {
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
