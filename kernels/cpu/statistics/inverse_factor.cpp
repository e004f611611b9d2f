#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cpu/common/blas.hpp"
#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/statistics/cholesky_tile.hpp"
#include "lib/core/errors.hpp"

// We want U upper with U^T U = A^-1. With J the reversal of indices, let B = J A J = V^T V, V
// upper. Then A = (J V^T J)(J V J) = R R^T with R = J V^T J upper, and U = R^-1 = J (V^-1)^T J,
// since U^T U = R^-T R^-1 = (R R^T)^-1. So: reverse, factor, invert the triangle, reverse and
// transpose. That is d^3/3 + d^3/3 multiplications where inverting A and factoring the inverse
// takes d^3 + d^3/3.

namespace lathe::kernels {
namespace {

using blas::Transpose;

constexpr std::size_t tile_edge = 256;

/// A square matrix seen as tiles of a fixed edge; the last ones may be smaller.
class Tiles {
public:
    explicit Tiles(MatrixView<double> matrix) : matrix_(matrix) {}
    [[nodiscard]] std::size_t count() const { return (matrix_.rows + tile_edge - 1) / tile_edge; }
    [[nodiscard]] std::size_t begin(std::size_t i) const { return i * tile_edge; }
    [[nodiscard]] std::size_t end(std::size_t i) const {
        return std::min(begin(i) + tile_edge, matrix_.rows);
    }
    /// Tile rows [row, row_end) and tile columns [col, col_end).
    [[nodiscard]] MatrixView<double> block(std::size_t row, std::size_t row_end, std::size_t col,
                                           std::size_t col_end) const {
        return matrix_.row_range(begin(row), end(row_end - 1) - begin(row))
            .col_range(begin(col), end(col_end - 1) - begin(col));
    }
    [[nodiscard]] MatrixView<double> at(std::size_t row, std::size_t col) const {
        return block(row, row + 1, col, col + 1);
    }

private:
    MatrixView<double> matrix_;
};

/// b = J (gram + damping * mean(diag gram) * I) J, on and above the diagonal.
void load_reversed(MatrixView<const double> gram, double damping, MatrixView<double> b,
                   ThreadPool& pool) {
    const std::size_t d = gram.rows;
    double trace = 0.0;
    for (std::size_t i = 0; i < d; ++i) {
        trace += gram(i, i);
    }
    const double added = damping * trace / static_cast<double>(d);
    pool.for_each(Tiles(b).count(), [&](std::size_t tile) {
        for (std::size_t i = Tiles(b).begin(tile); i < Tiles(b).end(tile); ++i) {
            const double* from = gram.row(d - 1 - i);
            double* to = b.row(i);
            for (std::size_t j = i; j < d; ++j) {
                to[j] = from[d - 1 - j];
            }
            to[i] = (to[i] == 0.0 ? 1.0 : to[i]) + added;
        }
    });
}

/// Factors one tile on the diagonal.
void factor_diagonal_tile(MatrixView<double> tile, std::size_t tile_begin, std::size_t d,
                          double damping) {
    const std::size_t bad = cholesky_tile::factor(tile);
    if (bad > 0) {
        throw DataError("Gram matrix [" + std::to_string(d) + ", " + std::to_string(d) +
                        "] with damping " + std::to_string(damping) +
                        " is not positive definite (column " +
                        std::to_string(d - tile_begin - bad) + ")");
    }
}

/// A row of tiles, set aside because every task of the row reads what others overwrite.
MatrixView<double> set_aside(MatrixView<const double> row, std::vector<double>& memory) {
    memory.resize(row.rows * row.cols);
    const MatrixView<double> aside(memory.data(), row.rows, row.cols);
    for (std::size_t r = 0; r < row.rows; ++r) {
        std::copy_n(row.row(r), row.cols, aside.row(r));
    }
    return aside;
}

/// Runs of at most four tiles, [begin, end), in each row of the triangle of tiles from `first` on.
struct TileRun {
    std::size_t row = 0;
    std::size_t begin = 0;
    std::size_t end = 0;
};

std::vector<TileRun> triangle_runs(std::size_t first, std::size_t n) {
    std::vector<TileRun> runs;
    for (std::size_t row = first; row < n; ++row) {
        for (std::size_t begin = row; begin < n; begin += 4) {
            runs.push_back({row, begin, std::min(begin + 4, n)});
        }
    }
    return runs;
}

/// Upper V with V^T V = b, in place. Right-looking: one row of tiles after the other is finished
/// and taken out of everything below it. What this leaves below the diagonal is of no use.
void factor_in_place(MatrixView<double> b, double damping, ThreadPool& pool) {
    const Tiles tiles(b);
    const std::size_t n = tiles.count();
    std::vector<double> inverse_memory;
    std::vector<double> row_memory;
    for (std::size_t k = 0; k < n; ++k) {
        factor_diagonal_tile(tiles.at(k, k), tiles.begin(k), b.rows, damping);
        if (k + 1 == n) {
            break;
        }
        const MatrixView<double> inverse =
            cholesky_tile::inverse_of(tiles.at(k, k), inverse_memory);
        const MatrixView<double> row = tiles.block(k, k + 1, k + 1, n);
        const MatrixView<double> aside = set_aside(row, row_memory);
        pool.for_each(n - k - 1, [&](std::size_t i) {
            const MatrixView<double> target = tiles.at(k, k + 1 + i);
            blas::gemm(Transpose::yes, Transpose::no, 1.0, inverse,
                       aside.col_range(i * tile_edge, target.cols), 0.0, target);
        });
        const std::vector<TileRun> runs = triangle_runs(k + 1, n);
        pool.for_each(runs.size(), [&](std::size_t i) {
            const TileRun run = runs[i];
            blas::gemm(Transpose::yes, Transpose::no, -1.0, tiles.at(k, run.row),
                       tiles.block(k, k + 1, run.begin, run.end), 1.0,
                       tiles.block(run.row, run.row + 1, run.begin, run.end));
        });
    }
}

/// V^-1 in place of V. From the last row of tiles up: the rows below are those of the inverse
/// already, so that X_ij = -(X_ii V_i,i+1..j) X_i+1..j,j.
void invert_in_place(MatrixView<double> v, ThreadPool& pool) {
    const Tiles tiles(v);
    const std::size_t n = tiles.count();
    std::vector<double> inverse_memory;
    std::vector<double> row_memory;
    for (std::size_t i = n; i-- > 0;) {
        const MatrixView<double> diagonal = tiles.at(i, i);
        const MatrixView<double> inverse = cholesky_tile::inverse_of(diagonal, inverse_memory);
        if (i + 1 < n) {
            const MatrixView<double> row = tiles.block(i, i + 1, i + 1, n);
            row_memory.resize(row.rows * row.cols);
            const MatrixView<double> scaled(row_memory.data(), row.rows, row.cols);
            pool.for_each(n - i - 1, [&](std::size_t task) {
                const MatrixView<double> tile = tiles.at(i, i + 1 + task);
                blas::gemm(Transpose::no, Transpose::no, -1.0, inverse, tile, 0.0,
                           scaled.col_range(task * tile_edge, tile.cols));
            });
            pool.for_each(n - i - 1, [&](std::size_t task) {
                const std::size_t j = n - 1 - task;  // the longest product first
                const MatrixView<double> below = tiles.block(i + 1, j + 1, j, j + 1);
                blas::gemm(Transpose::no, Transpose::no, 1.0, scaled.col_range(0, below.rows),
                           below, 0.0, tiles.at(i, j));
            });
        }
        for (std::size_t r = 0; r < diagonal.rows; ++r) {  // zeros below the diagonal included
            std::copy_n(inverse.row(r), diagonal.cols, diagonal.row(r));
        }
    }
}

/// factor = J x^T J above and on the diagonal, 0 below.
void store_reversed_transpose(MatrixView<const double> x, MatrixView<float> factor,
                              ThreadPool& pool) {
    const std::size_t d = x.rows;
    constexpr std::size_t edge = 32;  // both sides of a transposition in the first-level cache
    pool.for_each((d + edge - 1) / edge, [&](std::size_t tile) {
        const std::size_t begin = tile * edge;
        const std::size_t end = std::min(begin + edge, d);
        for (std::size_t i = begin; i < end; ++i) {
            std::fill_n(factor.row(i), begin, 0.0F);
        }
        for (std::size_t col = begin; col < d; col += edge) {
            for (std::size_t i = begin; i < end; ++i) {
                for (std::size_t j = col; j < std::min(col + edge, d); ++j) {
                    factor(i, j) = j < i ? 0.0F : static_cast<float>(x(d - 1 - j, d - 1 - i));
                }
            }
        }
    });
}

}  // namespace

void CpuBackend::do_inverse_factor(MatrixView<const double> gram, double damping,
                                   MatrixView<float> factor) const {
    const std::size_t d = gram.rows;
    if (d == 0) {
        return;
    }
    const auto memory = std::make_unique_for_overwrite<double[]>(d * d);
    const MatrixView<double> work(memory.get(), d, d);
    load_reversed(gram, damping, work, pool_);
    factor_in_place(work, damping, pool_);
    invert_in_place(work, pool_);
    store_reversed_transpose(work, factor, pool_);
}

}  // namespace lathe::kernels
