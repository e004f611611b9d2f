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

/// The upper triangle of a square matrix of d rows in tiles of a fixed edge, of which the last ones
/// may be smaller: half the memory. Layout: a row of tiles after the other, each a matrix whose
/// columns begin at the diagonal.
class Tiles {
public:
    explicit Tiles(std::size_t d) : d_(d) {
        std::size_t size = 0;
        for (std::size_t i = 0; i < count(); ++i) {
            first_.push_back(size);
            size += (end(i) - begin(i)) * (d_ - begin(i));
        }
        memory_ = std::make_unique_for_overwrite<double[]>(size);
    }
    [[nodiscard]] std::size_t d() const { return d_; }
    [[nodiscard]] std::size_t count() const { return (d_ + tile_edge - 1) / tile_edge; }
    [[nodiscard]] std::size_t begin(std::size_t i) const { return i * tile_edge; }
    [[nodiscard]] std::size_t end(std::size_t i) const {
        return std::min(begin(i) + tile_edge, d_);
    }
    /// Of a row of tiles the columns [col, col_end). @pre  row <= col < col_end
    [[nodiscard]] MatrixView<double> block(std::size_t row, std::size_t col,
                                           std::size_t col_end) const {
        const std::size_t stride = d_ - begin(row);
        return {memory_.get() + first_[row] + begin(col) - begin(row), end(row) - begin(row),
                end(col_end - 1) - begin(col), stride};
    }
    [[nodiscard]] MatrixView<double> at(std::size_t row, std::size_t col) const {
        return block(row, col, col + 1);
    }
    /// Element (i, j). @pre  its tile is not below the diagonal
    [[nodiscard]] double& operator()(std::size_t i, std::size_t j) const {
        const std::size_t row = i / tile_edge;
        const std::size_t stride = d_ - begin(row);
        return memory_[first_[row] + (i - begin(row)) * stride + j - begin(row)];
    }

private:
    std::size_t d_;
    std::vector<std::size_t> first_;  ///< where a row of tiles begins
    std::unique_ptr<double[]> memory_;
};

/// b = J A J, A as FactorSettings has it, on and above the diagonal.
void load_reversed(MatrixView<const float> gram, const FactorSettings& settings, const Tiles& b,
                   ThreadPool& pool) {
    const std::size_t d = gram.rows;
    double trace = 0.0;
    for (std::size_t i = 0; i < d; ++i) {
        trace += static_cast<double>(gram(i, i));
    }
    const double added = settings.damping * trace / static_cast<double>(d);
    // The place in `gram` of row or column i of b.
    const auto place = [&](std::size_t i) {
        const std::size_t own = d - 1 - i;
        return settings.order.empty() ? own : std::size_t{settings.order[own]};
    };
    pool.for_each(b.count(), [&](std::size_t tile) {
        for (std::size_t i = b.begin(tile); i < b.end(tile); ++i) {
            const float* from = gram.row(place(i));
            double* to = &b(i, i);
            for (std::size_t j = i; j < d; ++j) {
                to[j - i] = static_cast<double>(from[place(j)]);
            }
            *to = (*to == 0.0 ? 1.0 : *to) + added;
            *to += settings.penalty.empty() ? 0.0 : double{settings.penalty[place(i)]};
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
void factor_in_place(const Tiles& tiles, double damping, ThreadPool& pool) {
    const std::size_t n = tiles.count();
    std::vector<double> inverse_memory;
    std::vector<double> row_memory;
    for (std::size_t k = 0; k < n; ++k) {
        factor_diagonal_tile(tiles.at(k, k), tiles.begin(k), tiles.d(), damping);
        if (k + 1 == n) {
            break;
        }
        const MatrixView<double> inverse =
            cholesky_tile::inverse_of(tiles.at(k, k), inverse_memory);
        const MatrixView<double> aside = set_aside(tiles.block(k, k + 1, n), row_memory);
        pool.for_each(n - k - 1, [&](std::size_t i) {
            const MatrixView<double> target = tiles.at(k, k + 1 + i);
            blas::gemm(Transpose::yes, Transpose::no, 1.0, inverse,
                       aside.col_range(i * tile_edge, target.cols), 0.0, target);
        });
        const std::vector<TileRun> runs = triangle_runs(k + 1, n);
        pool.for_each(runs.size(), [&](std::size_t i) {
            const TileRun run = runs[i];
            blas::gemm(Transpose::yes, Transpose::no, -1.0, tiles.at(k, run.row),
                       tiles.block(k, run.begin, run.end), 1.0,
                       tiles.block(run.row, run.begin, run.end));
        });
    }
}

/// V^-1 in place of V. From the last row of tiles up: the rows below are those of the inverse
/// already, so that X_ij = -(X_ii V_i,i+1..j) X_i+1..j,j.
void invert_in_place(const Tiles& tiles, ThreadPool& pool) {
    const std::size_t n = tiles.count();
    std::vector<double> inverse_memory;
    std::vector<double> row_memory;
    for (std::size_t i = n; i-- > 0;) {
        const MatrixView<double> diagonal = tiles.at(i, i);
        const MatrixView<double> inverse = cholesky_tile::inverse_of(diagonal, inverse_memory);
        if (i + 1 < n) {
            const MatrixView<double> row = tiles.block(i, i + 1, n);
            row_memory.resize(row.rows * row.cols);
            const MatrixView<double> scaled(row_memory.data(), row.rows, row.cols);
            pool.for_each(n - i - 1, [&](std::size_t task) {
                const MatrixView<double> tile = tiles.at(i, i + 1 + task);
                blas::gemm(Transpose::no, Transpose::no, -1.0, inverse, tile, 0.0,
                           scaled.col_range(task * tile_edge, tile.cols));
            });
            pool.for_each(n - i - 1, [&](std::size_t task) {
                const std::size_t j = n - 1 - task;  // the longest product first
                for (std::size_t k = i + 1; k <= j; ++k) {
                    const MatrixView<double> below = tiles.at(k, j);
                    blas::gemm(Transpose::no, Transpose::no, 1.0,
                               scaled.col_range((k - i - 1) * tile_edge, below.rows), below,
                               k == i + 1 ? 0.0 : 1.0, tiles.at(i, j));
                }
            });
        }
        for (std::size_t r = 0; r < diagonal.rows; ++r) {  // zeros below the diagonal included
            std::copy_n(inverse.row(r), diagonal.cols, diagonal.row(r));
        }
    }
}

/// factor = J x^T J above and on the diagonal, 0 below.
void store_reversed_transpose(const Tiles& x, MatrixView<float> factor, ThreadPool& pool) {
    const std::size_t d = x.d();
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

void CpuBackend::do_inverse_factor(MatrixView<const float> gram, const FactorSettings& settings,
                                   MatrixView<float> factor) const {
    if (gram.rows == 0) {
        return;
    }
    const Tiles work(gram.rows);
    load_reversed(gram, settings, work, pool_);
    factor_in_place(work, settings.damping, pool_);
    invert_in_place(work, pool_);
    store_reversed_transpose(work, factor, pool_);
}

}  // namespace lathe::kernels
