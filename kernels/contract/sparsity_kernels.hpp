#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/contract/kernel_list.hpp"
#include "kernels/contract/rounding_kernels.hpp"
#include "lib/core/coded_matrix.hpp"
#include "lib/core/matrix_view.hpp"

namespace lathe::kernels {

/// A set of matrices [rows, cols] to project on: all, one or none of these three limits.
struct MatrixLimits {
    const IntegerGridSettings* grid = nullptr;  ///< values lie on this grid
    /// Or values are levels of this binary coding. Not together with `grid`.
    const BinaryCodeSettings* binary = nullptr;
    MatrixView<const float> scales;  ///< [rows, group_count], of the grid, or of BinaryCodes
    MatrixView<const float> zeros;   ///< [rows, group_count]; of a binary coding the offsets
    MatrixView<const std::uint8_t>
        keep;           ///< if not empty [rows, cols]: where it is 0, values are 0
    NmPattern pattern;  ///< not together with `keep`
    /// For `pattern`: what a squared change of each column costs. [cols] >= 0
    std::span<const float> importance;
};

/// Choice of the weights that stay, and of their values. Part of Backend, which says what holds for
/// all kernels.
class SparsityKernels {
public:
    /// keep = 1 at the n elements of each group of m with the largest importance[j] * w_j^2, of
    /// equals the first; 0 at the others. w, keep [rows, cols]; importance [cols]. A short last
    /// group keeps min(n, its size). Exact.
    void choose_pattern(MatrixView<const float> w, std::span<const float> importance,
                        NmPattern pattern, MatrixView<std::uint8_t> keep) const;

    /// P(w), the nearest matrix within the limits in the norm sum_j importance[j] d_j^2: elements
    /// are rounded to nearest on the grid, set to 0 where `keep` says so, and with a pattern the n
    /// of each m with the largest gain importance * (w^2 - (w - rounded w)^2) stay, the first of
    /// equals. w, values [rows, cols]; values may be w. Exact.
    void project(MatrixView<const float> w, const MatrixLimits& limits,
                 MatrixView<float> values) const;

    /// The element-wise half of an ADMM iteration (scaled dual form) on
    /// min tr((X - W) A (X - W)^T) with X within limits, penalty[j] on column j:
    ///   U = T - P(T);  T' = X + U;  T = P(T') + shrink * (T' - P(T'))
    ///   x = target + penalty * (2 P(T) - T)
    /// so that the other half is X = x @ (A + diag(penalty))^-1. The state T stands for both the
    /// projection P(T) and the dual T - P(T). `shrink` in (0, 1] is the old penalty over the new
    /// one where the penalty grows.
    ///   x [rows, cols] in: X, out: the right side; state, target [rows, cols]; penalty [cols]
    /// Source: Meng et al. 2024 (ALPS), arXiv:2406.07831. Relative 2-norm difference per row: 1e-6.
    void splitting_step(MatrixView<float> x, MatrixView<float> state,
                        MatrixView<const float> target, std::span<const float> penalty,
                        float shrink, const MatrixLimits& limits) const;

    /// Error feedback over the columns, left to right, of a matrix with zeros: what is taken away
    /// from a column (all of it where keep is 0, else what rounding on the grid takes) is made up
    /// for in the columns after it. With a pattern `keep` is chosen on the way, when the first
    /// column of a group of m comes up: the n of it with the largest w_j^2 / factor_jj^2, the first
    /// of equals. Without one it is given.
    ///   w       [rows, cols]  in: weights; out: kept values
    ///   factor  [cols, cols]  inverse_factor of the Gram matrix
    ///   grid    may be null: kept values are not rounded; else with scales and zeros as everywhere
    /// Columns are taken in blocks of about 128; the block size changes rounding only.
    /// Source: Frantar, Alistarh 2023 (SparseGPT), arXiv:2301.00774, algorithm 1.
    void sweep_sparse(MatrixView<float> w, MatrixView<const float> factor, NmPattern pattern,
                      MatrixView<std::uint8_t> keep, const IntegerGridSettings* grid,
                      MatrixView<const float> scales, MatrixView<const float> zeros) const;

    /// One step of conjugate gradients on min tr((V - W) A (V - W)^T) over the values that `keep`
    /// leaves, with diag(A) as preconditioner and a step length for each row; sums in fp64.
    ///   keep       [rows, cols]
    ///   inverse_diagonal [cols]  1 / A_jj
    ///   product    [rows, cols]  direction @ A
    ///   values, residual, direction [rows, cols] in and out, 0 where keep is 0. Before the first
    ///   step: residual = (W - V) A where keep is 1, direction = residual * inverse_diagonal
    /// Relative 2-norm difference per row: 1e-5.
    void conjugate_step(MatrixView<const std::uint8_t> keep,
                        std::span<const float> inverse_diagonal, MatrixView<const float> product,
                        MatrixView<float> values, MatrixView<float> residual,
                        MatrixView<float> direction) const;

    /// Local search over the places of an N:M matrix V near W: in each group of m columns of a row,
    /// left to right, the exchange of a kept value for a dropped one that lowers
    /// tr((V - W) A (V - W)^T) most is made, if any lowers it; the new value is the best for its
    /// place. At most `n_passes` times over a row, or until a pass changes nothing.
    ///   gram      [cols, cols]  A, symmetric; a dropped column with A_jj = 0 stays so
    ///   keep, values [rows, cols]  in and out; values are 0 where keep is 0
    ///   gradient  [rows, cols]  in and out: (V - W) A
    /// Decisions may differ between backends where two exchanges gain the same but for rounding.
    void exchange_places(MatrixView<const float> gram, NmPattern pattern, std::size_t n_passes,
                         MatrixView<std::uint8_t> keep, MatrixView<float> values,
                         MatrixView<float> gradient) const;

protected:
    ~SparsityKernels() = default;

private:
#define LATHE_KERNEL LATHE_PURE_KERNEL
#include "kernels/contract/sparsity_kernels.def"
#undef LATHE_KERNEL
};

}  // namespace lathe::kernels
