#include <algorithm>
#include <string>
#include <vector>

#include "kernels/cpu/common/blas.hpp"
#include "kernels/cpu/cpu_backend.hpp"
#include "lib/core/errors.hpp"

// A = Q T Q^T with T tridiagonal; T = Z diag(values) Z^T; the eigenvectors are Q Z. LAPACK finds Q
// and Z on one thread, a problem each. Half of the time of its driver (dsyevd) would go into the
// product Q Z: here it is two large products for each block of reflections, in tiles that share
// out over threads, and their size depends on nothing but the matrix.

namespace lathe::kernels {
namespace {

using blas::Transpose;

/// Reflections that are applied at once.
constexpr std::size_t block_size = 64;
/// Eigenvectors of a tile.
constexpr std::size_t tile_rows = 128;

std::size_t divide_up(std::size_t n, std::size_t by) {
    return (n + by - 1) / by;
}

/// A problem between its steps: Q as reflections, Z in the place of the eigenvectors.
class Solution {
public:
    explicit Solution(const SymmetricEigenproblem& problem)
        : problem_(problem),
          d_(problem.matrix.rows),
          reflections_(d_ * d_),
          products_(d_ * d_),
          factors_(d_) {}

    [[nodiscard]] std::size_t n_blocks() const {
        return d_ < 2 ? 0 : divide_up(d_ - 1, block_size);
    }
    [[nodiscard]] std::size_t n_tiles() const { return divide_up(d_, tile_rows); }

    void solve_tridiagonal() {
        const MatrixView<double> q(reflections_.data(), d_, d_);
        for (std::size_t i = 0; i < d_; ++i) {
            std::copy_n(problem_.matrix.row(i) + i, d_ - i, q.row(i) + i);
        }
        std::vector<double> beside(d_);
        blas::tridiagonalise(q, problem_.values.data(), beside.data(), factors_.data());
        const std::size_t bad =
            blas::tridiagonal_eigen(problem_.values.data(), beside.data(), problem_.vectors);
        if (bad > 0) {
            throw InternalError("symmetric_eigen: an eigenvalue of a matrix " +
                                problem_.matrix.shape_text() +
                                " did not converge (dstedc: " + std::to_string(bad) + ")");
        }
    }

    /// H_1 H_2 ... of a block is I - V^T T V: makes V whole and T^T V.
    void prepare(std::size_t block) {
        const MatrixView<double> v = block_of(reflections_, block);
        for (std::size_t k = 0; k < v.rows; ++k) {
            std::fill_n(v.row(k), k, 0.0);
            v(k, k) = 1.0;
        }
        std::vector<double> triangle(v.rows * v.rows, 0.0);
        const MatrixView<double> turned(triangle.data(), v.rows, v.rows);
        blas::reflection_triangle(v, factors_.data() + block * block_size, turned);
        blas::gemm(Transpose::no, Transpose::no, 1.0, turned, v, 0.0, block_of(products_, block));
    }

    /// Rows of Z^T become rows of (Q Z)^T.
    void finish(std::size_t tile) {
        const std::size_t first = tile * tile_rows;
        const MatrixView<double> rows =
            problem_.vectors.row_range(first, std::min(tile_rows, d_ - first));
        std::vector<double> memory(rows.rows * block_size);
        for (std::size_t block = n_blocks(); block-- > 0;) {
            const MatrixView<double> v = block_of(reflections_, block);
            const MatrixView<double> part = rows.col_range(d_ - v.cols, v.cols);
            const MatrixView<double> along(memory.data(), rows.rows, v.rows);
            blas::gemm(Transpose::no, Transpose::yes, 1.0, part, v, 0.0, along);
            blas::gemm(Transpose::no, Transpose::no, -1.0, along, block_of(products_, block), 1.0,
                       part);
        }
    }

private:
    /// Rows of a block, from the first place that can differ from 0 on.
    [[nodiscard]] MatrixView<double> block_of(std::vector<double>& values,
                                              std::size_t block) const {
        const std::size_t first = block * block_size;
        return MatrixView<double>(values.data(), d_, d_)
            .row_range(first, std::min(block_size, d_ - 1 - first))
            .col_range(first + 1, d_ - 1 - first);
    }

    const SymmetricEigenproblem& problem_;
    std::size_t d_;
    std::vector<double> reflections_;  ///< [d, d] row k is v_k; of tridiagonalise()
    std::vector<double> products_;     ///< [d, d] T^T V of each block
    std::vector<double> factors_;
};

}  // namespace

void CpuBackend::do_symmetric_eigen(std::span<const SymmetricEigenproblem> problems) const {
    std::vector<Solution> solutions(problems.begin(), problems.end());
    pool_.for_each(solutions.size(), [&](std::size_t p) { solutions[p].solve_tridiagonal(); });
    for (Solution& solution : solutions) {
        pool_.for_each(solution.n_blocks(), [&](std::size_t block) { solution.prepare(block); });
        pool_.for_each(solution.n_tiles(), [&](std::size_t tile) { solution.finish(tile); });
    }
}

}  // namespace lathe::kernels
