#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cpu/common/blas.hpp"
#include "kernels/cpu/common/scratch.hpp"
#include "kernels/cpu/common/vector_kernels.hpp"
#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/statistics/cholesky_tile.hpp"
#include "lib/core/errors.hpp"

// Gauss-Jordan by blocks, in place. With b = -(a + diag(penalty)), sweeping the columns K with
// pivot block P = -b_KK means
//   b_IJ += b_IK P^-1 b_KJ,   b_KJ = P^-1 b_KJ,   b_KK = P^-1
// for all other I and J; when every block is swept b is the inverse. That is d^3 multiplications
// and additions in all, nearly all of them in one kind of product over the whole triangle, where
// Cholesky, the inverse of its factor and that factor's square take three kinds of loops.
//
// With P = V^T V and Z = V^-T b_KJ the update is Z_I^T Z_J. Its rounding errors are small beside
// sqrt(b_II b_JJ), which those of b_IK (P^-1 b_KJ) need not be. So diagonal blocks are factored, in
// fp64; all else is fp32.

namespace lathe::kernels {
namespace {

using blas::Transpose;

/// Columns of a block, a multiple of all panel widths: this many products are added up before an
/// element of b is read and written.
constexpr std::size_t block_edge = 256;
/// Largest strip_width * panel_width of any variant.
constexpr std::size_t max_product = 8 * 32;

class Sweeps {
public:
    /// b [d, d]: above the diagonal and on it.
    Sweeps(MatrixView<float> b, ThreadPool& pool)
        : b_(b),
          pool_(pool),
          n_blocks_((b.rows + block_edge - 1) / block_edge),
          panels_memory_(allocate_zeroed(n_blocks_ * block_edge * block_edge * sizeof(float))),
          panels_(static_cast<float*>(panels_memory_.get())) {}

    void run() {
        for (std::size_t k = 0; k < n_blocks_; ++k) {
            factor_pivot(k);
            pool_.for_each(n_blocks_, [&](std::size_t j) {
                if (j == k) {
                    store_pivot(k);
                } else {
                    scale(k, j);
                }
            });
            const auto tiles = tiles_without(k);
            pool_.for_each(tiles.size(), [&](std::size_t i) {
                update(size(k), tiles[i].first, tiles[i].second);
            });
        }
    }

private:
    [[nodiscard]] static std::size_t begin(std::size_t block) { return block * block_edge; }
    [[nodiscard]] std::size_t size(std::size_t block) const {
        return std::min(block_edge, b_.rows - begin(block));
    }
    [[nodiscard]] MatrixView<float> tile(std::size_t i, std::size_t j) const {
        return b_.row_range(begin(i), size(i)).col_range(begin(j), size(j));
    }
    /// [panel][depth][panel_width]
    [[nodiscard]] float* panels(std::size_t block) const {
        return panels_ + block * block_edge * block_edge;
    }

    /// V^-1 of the pivot block.
    void factor_pivot(std::size_t k) {
        const MatrixView<const float> pivot = tile(k, k);
        const std::size_t m = pivot.rows;
        pivot_.resize(m * m);
        const MatrixView<double> factor(pivot_.data(), m, m);
        for (std::size_t i = 0; i < m; ++i) {
            std::transform(pivot.row(i) + i, pivot.row(i) + m, factor.row(i) + i,
                           [](float value) { return -static_cast<double>(value); });
        }
        const std::size_t bad = cholesky_tile::factor(factor);
        if (bad > 0) {
            throw DataError("penalised matrix " + b_.shape_text() +
                            " is not positive definite (column " +
                            std::to_string(begin(k) + bad - 1) + ")");
        }
        exact_inverse_ = cholesky_tile::inverse_of(factor, inverse_memory_);
        narrow_.assign(exact_inverse_.data, exact_inverse_.data + m * m);
        inverse_ = {narrow_.data(), m, m};
    }

    /// b_KK = P^-1
    void store_pivot(std::size_t k) {
        const std::size_t m = size(k);
        product_.resize(m * m);
        const MatrixView<double> product(product_.data(), m, m);
        blas::gemm(Transpose::no, Transpose::yes, 1.0, exact_inverse_, exact_inverse_, 0.0,
                   product);
        for (std::size_t i = 0; i < m; ++i) {
            std::transform(product.row(i) + i, product.row(i) + m, tile(k, k).row(i) + i,
                           [](double value) { return static_cast<float>(value); });
        }
    }

    /// Puts Z_J into panels and P^-1 b_KJ = V^-1 Z_J in the place of b_KJ, which left of the
    /// diagonal is stored as the transpose of b_JK.
    void scale(std::size_t k, std::size_t j) {
        const std::size_t m = size(k);
        const std::size_t n = size(j);
        thread_local Scratch scratch;
        const MatrixView<float> z(scratch.floats(m * n), m, n);
        if (j > k) {
            blas::gemm(Transpose::yes, Transpose::no, 1.0F, inverse_, tile(k, j), 0.0F, z);
            blas::gemm(Transpose::no, Transpose::no, 1.0F, inverse_, z, 0.0F, tile(k, j));
        } else {
            blas::gemm(Transpose::yes, Transpose::yes, 1.0F, inverse_, tile(j, k), 0.0F, z);
            blas::gemm(Transpose::yes, Transpose::yes, 1.0F, z, inverse_, 0.0F, tile(j, k));
        }
        for (std::size_t column = 0; column < n; column += width_) {
            kernels_.pack(z.data + column, z.stride, std::min(width_, n - column), m,
                          panels(j) + column * m);
        }
    }

    /// Tiles on and above the diagonal that are neither in row nor in column k.
    [[nodiscard]] std::vector<std::pair<std::size_t, std::size_t>> tiles_without(
        std::size_t k) const {
        std::vector<std::pair<std::size_t, std::size_t>> tiles;
        for (std::size_t i = 0; i < n_blocks_; ++i) {
            for (std::size_t j = i; j < n_blocks_; ++j) {
                if (i != k && j != k) {
                    tiles.emplace_back(i, j);
                }
            }
        }
        return tiles;
    }

    /// b_IJ += Z_I^T Z_J. On the diagonal some of what lies below it is overwritten too.
    void update(std::size_t depth, std::size_t block_i, std::size_t block_j) const {
        const MatrixView<float> target = tile(block_i, block_j);
        const std::size_t strip = kernels_.strip_width;
        for (std::size_t j = 0; j < target.cols; j += width_) {
            const float* right = panels(block_j) + j * depth;
            const std::size_t end =
                block_i == block_j ? std::min(target.rows, j + width_) : target.rows;
            for (std::size_t i = 0; i < end; i += strip) {
                const float* left = panels(block_i) + i / width_ * width_ * depth + i % width_;
                if (i + strip <= target.rows && j + width_ <= target.cols) {
                    const bool second_half = block_i == block_j && i >= j + width_ / 2;
                    kernels_.multiply_panels(depth, left, right, target.row(i) + j, target.stride,
                                             true, second_half);
                } else {
                    update_edge(depth, left, right, i, j, target);
                }
            }
        }
    }

    /// The same for a strip or a panel that is not full.
    void update_edge(std::size_t depth, const float* left, const float* right, std::size_t first_i,
                     std::size_t first_j, MatrixView<float> target) const {
        float product[max_product];
        kernels_.multiply_panels(depth, left, right, product, width_, false, false);
        for (std::size_t i = first_i; i < std::min(first_i + kernels_.strip_width, target.rows);
             ++i) {
            for (std::size_t j = first_j; j < std::min(first_j + width_, target.cols); ++j) {
                target(i, j) += product[(i - first_i) * width_ + j - first_j];
            }
        }
    }

    MatrixView<float> b_;
    ThreadPool& pool_;
    const VectorKernels& kernels_ = vector_kernels();
    const std::size_t width_ = kernels_.panel_width;
    std::size_t n_blocks_;
    std::shared_ptr<void> panels_memory_;
    float* panels_;
    // Of the pivot block.
    std::vector<double> pivot_;
    std::vector<double> inverse_memory_;
    std::vector<double> product_;
    std::vector<float> narrow_;
    MatrixView<const double> exact_inverse_;
    MatrixView<const float> inverse_;
};

/// Calls visit(i) for the rows of a matrix, in tiles.
template <class Visit>
void for_each_row(ThreadPool& pool, std::size_t rows, const Visit& visit) {
    constexpr std::size_t edge = 64;
    pool.for_each((rows + edge - 1) / edge, [&](std::size_t tile) {
        for (std::size_t i = tile * edge; i < std::min((tile + 1) * edge, rows); ++i) {
            visit(i);
        }
    });
}

}  // namespace

void CpuBackend::do_penalised_inverse(MatrixView<const float> a, std::span<const float> penalty,
                                      MatrixView<float> inverse) const {
    for_each_row(pool_, a.rows, [&](std::size_t i) {
        std::transform(a.row(i) + i, a.row(i) + a.cols, inverse.row(i) + i, std::negate<>());
        inverse(i, i) -= penalty[i];
    });
    Sweeps(inverse, pool_).run();
    do_mirror_upper(inverse);
}

void CpuBackend::do_mirror_upper(MatrixView<float> y) const {
    constexpr std::size_t edge = 32;  // rows and columns of a tile and its mirror in the cache
    const std::size_t n = y.rows;
    pool_.for_each((n + edge - 1) / edge, [&](std::size_t tile) {
        const std::size_t begin = tile * edge;
        const std::size_t end = std::min(begin + edge, n);
        for (std::size_t col = 0; col < end; col += edge) {
            for (std::size_t i = begin; i < end; ++i) {
                for (std::size_t j = col; j < std::min(col + edge, i); ++j) {
                    y(i, j) = y(j, i);
                }
            }
        }
    });
}

}  // namespace lathe::kernels
