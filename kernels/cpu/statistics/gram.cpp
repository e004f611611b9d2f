#include <algorithm>
#include <vector>

#include "kernels/cpu/common/scratch.hpp"
#include "kernels/cpu/common/vector_clones.hpp"
#include "kernels/cpu/common/vector_kernels.hpp"
#include "kernels/cpu/cpu_backend.hpp"

// gram += x^T @ x with our own inner loop rather than BLAS calls for tiles: both operands of every
// product are the columns of x, so these are packed into panels once for all tiles, and the same
// panels are read as left and as right operand.

namespace lathe::kernels {
namespace {

/// Tokens that are packed at a time at most.
constexpr std::size_t packed_tokens = 2048;
/// Tokens whose products are summed in fp32 at most; of streams.
constexpr std::size_t summed_tokens = packed_tokens;
constexpr std::size_t summed_stream_tokens = 64;
/// Floats that the panels may take (64 MiB); of wider activations fewer tokens are taken at a time.
constexpr std::size_t packed_limit = std::size_t{1} << 24;
/// Tokens of one step of a tile: long sums spare reading and writing the products, and the panels
/// of a step still come out of the second-level cache.
constexpr std::size_t token_step = 512;

/// Tokens packed at a time: this many rows of x are read side by side.
constexpr std::size_t pack_step = 8;

std::size_t divide_up(std::size_t n, std::size_t by) {
    return (n + by - 1) / by;
}

/// Panels along the edge of a tile: large enough that a tile reads its panels often, small enough
/// that there is work for many threads; and where products are soon added up, that these and the
/// sums stay in the second-level cache. Depends on d, the panel width and `summed` only.
std::size_t tile_edge(std::size_t n_panels, std::size_t summed) {
    return std::clamp<std::size_t>(n_panels / 4, 2, summed < token_step ? 2 : 8);
}

/// A range of panels against another; on the diagonal they are the same.
struct Tile {
    std::size_t row;
    std::size_t col;
};

/// Tiles on and above the diagonal, the full ones first, since they take twice as long.
std::vector<Tile> upper_tiles(std::size_t n_panels, std::size_t edge) {
    std::vector<Tile> tiles;
    for (std::size_t row = 0; row < n_panels; row += edge) {
        for (std::size_t col = row + edge; col < n_panels; col += edge) {
            tiles.push_back({row, col});
        }
    }
    for (std::size_t row = 0; row < n_panels; row += edge) {
        tiles.push_back({row, row});
    }
    return tiles;
}

LATHE_VECTOR_CLONES
void add_row(const float* __restrict from, std::size_t n, double* __restrict to) {
    for (std::size_t j = 0; j < n; ++j) {
        to[j] += static_cast<double>(from[j]);
    }
}

LATHE_VECTOR_CLONES
void add_row(const float* __restrict from, std::size_t n, float* __restrict to) {
    for (std::size_t j = 0; j < n; ++j) {
        to[j] += from[j];
    }
}

/// Up to packed_tokens rows of x as panels [n_tokens][panel_width], and their products.
class Panels {
public:
    Panels(ThreadPool& pool, MatrixView<const float> x, float* memory)
        : n_tokens_(x.rows), d_(x.cols), memory_(memory) {
        pool.for_each(divide_up(n_tokens_, token_step), [&](std::size_t step) {
            const std::size_t end = std::min((step + 1) * token_step, n_tokens_);
            for (std::size_t t = step * token_step; t < end; t += pack_step) {
                for (std::size_t column = 0; column < d_; column += width_) {
                    kernels_.pack(x.row(t) + column, x.stride, std::min(width_, d_ - column),
                                  std::min(pack_step, end - t),
                                  memory_ + column * n_tokens_ + t * width_);
                }
            }
        });
    }

    [[nodiscard]] std::size_t n_panels() const { return divide_up(d_, width_); }

    /// Adds the products of a tile to gram, after each `summed` tokens.
    template <class Sum>
    void add_tile(Tile tile, std::size_t edge, std::size_t summed, UpperTriangle<Sum> gram) const {
        const std::size_t rows = std::min(edge, n_panels() - tile.row) * width_;
        const std::size_t cols = std::min(edge, n_panels() - tile.col) * width_;
        thread_local Scratch scratch;
        const MatrixView<float> product(scratch.floats(rows * cols), rows, cols);
        for (std::size_t first = 0; first < n_tokens_; first += summed) {
            const std::size_t end = std::min(n_tokens_, first + summed);
            for (std::size_t t = first; t < end; t += token_step) {
                take_step(tile, t, std::min(token_step, end - t), t > first, product);
            }
            add(tile, product, gram);
        }
    }

private:
    template <class Sum>
    void add(Tile tile, MatrixView<const float> product, UpperTriangle<Sum> gram) const {
        const std::size_t first_row = tile.row * width_;
        const std::size_t first_col = tile.col * width_;
        for (std::size_t i = 0; i < std::min(product.rows, d_ - first_row); ++i) {
            const std::size_t begin = tile.row == tile.col ? i : 0;
            add_row(product.row(i) + begin, std::min(product.cols, d_ - first_col) - begin,
                    &gram(first_row + i, first_col + begin));
        }
    }

    /// The products of `depth` tokens from t on.
    void take_step(Tile tile, std::size_t t, std::size_t depth, bool accumulate,
                   MatrixView<float> product) const {
        const float* left = memory_ + (tile.row * n_tokens_ + t) * width_;
        const float* right = memory_ + (tile.col * n_tokens_ + t) * width_;
        const std::size_t strip = kernels_.strip_width;
        for (std::size_t j = 0; j < product.cols; j += width_) {
            // On the diagonal only what is not wholly below it.
            const std::size_t end =
                tile.row == tile.col ? std::min(product.rows, j + width_) : product.rows;
            for (std::size_t i = 0; i < end; i += strip) {
                const bool second_half = tile.row == tile.col && i >= j + width_ / 2;
                kernels_.multiply_panels(depth, left + i / width_ * width_ * n_tokens_ + i % width_,
                                         right + j * n_tokens_, product.row(i) + j, product.stride,
                                         accumulate, second_half);
            }
        }
    }

    const VectorKernels& kernels_ = vector_kernels();
    const std::size_t width_ = kernels_.panel_width;
    std::size_t n_tokens_;
    std::size_t d_;
    float* memory_;
};

template <class Sum>
void accumulate(ThreadPool& pool, MatrixView<const float> x, std::size_t summed,
                UpperTriangle<Sum> gram) {
    if (x.cols == 0) {
        return;
    }
    const std::size_t width = vector_kernels().panel_width;
    const std::size_t padded = divide_up(x.cols, width) * width;
    const std::size_t fitting = std::max<std::size_t>(1, packed_limit / padded / token_step);
    const std::size_t step = std::min(packed_tokens, fitting * token_step);
    thread_local Scratch scratch;
    for (std::size_t t = 0; t < x.rows; t += step) {
        const std::size_t n_tokens = std::min(step, x.rows - t);
        const Panels panels(pool, x.row_range(t, n_tokens), scratch.floats(padded * n_tokens));
        const std::size_t edge = tile_edge(panels.n_panels(), summed);
        const std::vector<Tile> tiles = upper_tiles(panels.n_panels(), edge);
        pool.for_each(tiles.size(),
                      [&](std::size_t i) { panels.add_tile(tiles[i], edge, summed, gram); });
    }
}

}  // namespace

void CpuBackend::do_accumulate_gram(MatrixView<const float> x, UpperTriangle<float> gram) const {
    accumulate(pool_, x, summed_tokens, gram);
}

void CpuBackend::do_accumulate_stream_gram(MatrixView<const float> x,
                                           MatrixView<double> gram) const {
    accumulate(pool_, x, summed_stream_tokens, UpperTriangle<double>(gram));
}

}  // namespace lathe::kernels
