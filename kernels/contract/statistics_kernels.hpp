#pragma once

#include <cstdint>
#include <span>

#include "kernels/contract/kernel_list.hpp"
#include "lib/core/matrix_view.hpp"
#include "lib/core/upper_triangle.hpp"

namespace lathe::kernels {

/// What a column of activations looked like: one entry per column each.
struct ColumnStatistics {
    std::span<double> sum_abs;
    std::span<float> minimum;
    std::span<float> maximum;
};

/// What inverse_factor() makes of a Gram matrix G [d, d] before it is factored:
///   A = G + damping * mean(diag G) * I + diag(penalty),
/// with 1 in place of a zero on G's diagonal (a dead input), which does not count in the mean.
struct FactorSettings {
    double damping = 0.0;
    std::span<const float> penalty = {};  ///< [d], or empty: none
    std::span<const std::uint32_t> order =
        {};  ///< of A's rows and columns, on the host; empty: 0, 1, ...
};

/// A symmetric eigenproblem and room for its answer, in host memory.
struct SymmetricEigenproblem {
    MatrixView<const double> matrix;  ///< [d, d] symmetric; only the upper triangle is read
    std::span<double> values;         ///< [d] eigenvalues, largest first
    MatrixView<double> vectors;       ///< [d, d] row k is the unit eigenvector of values[k]
};

/// Sums over calibration tokens, what is computed from them, and rotations, which are in fp64. Part
/// of Backend, which says what holds for all kernels.
class StatisticsKernels {
public:
    /// gram += x^T @ x, on and above the diagonal. x [T, d]; gram of d rows. Products of at most
    /// 2048 tokens are summed before they are added. Relative to sqrt(gram_ii gram_jj): 1e-5.
    void accumulate_gram(MatrixView<const float> x, UpperTriangle<float> gram) const;

    /// Adds |x| to sum_abs and widens minimum and maximum, column by column. Row order is fixed.
    void accumulate_column_statistics(MatrixView<const float> x,
                                      const ColumnStatistics& statistics) const;

    /// y_tj = factors[t] * x_tj. x, y [T, d], y may be x; factors [T], in host memory. Exact.
    void scale_rows(MatrixView<const float> x, std::span<const float> factors,
                    MatrixView<float> y) const;

    /// Adds 1 to counts[j] for each token at which column j is among the `per_token` largest by
    /// |x_tj| * column_weights[j], a product in fp32; of equal ones the lower index comes first,
    /// and NaN counts as larger than any number. Every backend counts the same.
    ///   x [T, d]; column_weights [d], none negative, in host memory; counts [d]; per_token <= d
    void count_largest(MatrixView<const float> x, std::span<const float> column_weights,
                       std::size_t per_token, std::span<double> counts) const;

    /// accumulate_gram() for streams that rotations are found from: at most 64 tokens are summed in
    /// fp32, and added in fp64; what lies below the diagonal is neither read nor written. Rounding
    /// so short a sum errs to either side, and over many of them it averages out. Relative to
    /// sqrt(gram_ii gram_jj): 1e-6.
    void accumulate_stream_gram(MatrixView<const float> x, MatrixView<double> gram) const;

    /// y = a @ b, with `a` or `b` taken transposed where said.
    ///   op(a) [m, k], op(b) [k, n], y [m, n]; y neither a nor b. Relative 1e-13 of |a_i| |b_j|.
    void multiply(MatrixView<const double> a, bool transpose_a, MatrixView<const double> b,
                  bool transpose_b, MatrixView<double> y) const;

    /// Solves independent problems side by side. The element of largest magnitude of each
    /// eigenvector (the first of equal ones) is positive; eigenvectors of equal eigenvalues are any
    /// orthonormal basis of their space.
    /// @throws DataError  if an element is not finite
    void symmetric_eigen(std::span<const SymmetricEigenproblem> problems) const;

    /// The factor that error-feedback quantisation needs: U upper triangular with U^T @ U = A^-1, A
    /// being gram with what FactorSettings adds; entries below the diagonal become 0.
    ///   gram [d, d] symmetric, both triangles; factor [d, d]
    /// Computed in fp64 as the inverse of the factor R of A = R R^T (R upper), which costs half of
    /// inverting A first.
    /// @throws DataError  if A is not positive definite
    void inverse_factor(MatrixView<const float> gram, const FactorSettings& settings,
                        MatrixView<float> factor) const;

    /// inverse = (a + diag(penalty))^-1, both triangles, in fp32. Scaled to a unit diagonal, it is
    /// off by about sqrt(d) 2^-24 over the smallest eigenvalue of a + diag(penalty), relative. What
    /// `a` has below its diagonal is not read.
    ///   a, inverse [d, d], not the same; penalty [d]
    /// @throws DataError  if the sum is not positive definite
    void penalised_inverse(MatrixView<const float> a, std::span<const float> penalty,
                           MatrixView<float> inverse) const;

    /// y_ji = y_ij for i < j. y [d, d]
    void mirror_upper(MatrixView<float> y) const;

    /// errors[r] = d_r @ gram @ d_r^T for each row d_r of `delta`: the squared output error of each
    /// output. delta [rows, d]; gram [d, d] symmetric, both triangles, fp32. Relative 1e-4.
    void row_errors(MatrixView<const float> delta, MatrixView<const float> gram,
                    std::span<double> errors) const;

protected:
    ~StatisticsKernels() = default;

private:
#define LATHE_KERNEL LATHE_PURE_KERNEL
#include "kernels/contract/statistics_kernels.def"
#undef LATHE_KERNEL
};

}  // namespace lathe::kernels
