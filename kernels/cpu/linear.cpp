#include <algorithm>
#include <cstring>

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/scratch.hpp"
#include "kernels/cpu/vector_kernels.hpp"

// y = x @ w^T with our own inner loop rather than a BLAS call for each tile: BLAS packs both
// operands anew in every call, which costs a tenth of the time or more at tile sizes that keep
// several threads busy. A tile packs a slab of w into panels that stay in the second-level cache,
// then passes over its tokens a panel_height at a time. An element of y is summed over the same
// slabs in the same order wherever it lies, so it depends neither on the tile nor on the other
// tokens of the call.

namespace lathe::kernels {
namespace {

/// Up to this many tokens the time goes into reading w, not into arithmetic: w is read once, where
/// it lies, instead of being packed for a matrix product.
constexpr std::size_t few_tokens = 8;
/// Elements of w in a tile of that kind: 256 KiB, which a few cores share out evenly.
constexpr std::size_t few_tokens_tile = std::size_t{1} << 16;
/// The slab of w, tile_features * depth_block floats, takes about half of a 1 MiB cache; a slab of
/// few tokens is smaller, so that there is a tile for each thread.
constexpr std::size_t tile_tokens = 504;
constexpr std::size_t tile_features = 384;
constexpr std::size_t small_tile_features = 128;
/// Largest panel_height * panel_width of any variant.
constexpr std::size_t max_product = 14 * 32;
constexpr std::size_t floats_per_line = 16;

std::size_t divide_up(std::size_t n, std::size_t by) {
    return (n + by - 1) / by;
}

/// One tile of y: n_tokens rows of x against n_features rows of w.
class LinearTile {
public:
    LinearTile(MatrixView<const float> x, MatrixView<const float> w, std::span<const float> bias,
               MatrixView<float> y)
        : x_(x), w_(w), bias_(bias), y_(y) {}

    void run() {
        thread_local Scratch scratch;
        const std::size_t n_panels = divide_up(w_.rows, kernels_.panel_width);
        const std::size_t slab_size = n_panels * kernels_.panel_width * depth_block;
        slab_ = scratch.floats(slab_size + kernels_.panel_height * packed_stride);
        left_ = slab_ + slab_size;

        for (std::size_t t = 0; t < y_.rows && !bias_.empty(); ++t) {
            std::copy(bias_.begin(), bias_.end(), y_.row(t));
        }
        // Slabs of equal depth, whole cache lines each; one empty slab if there is nothing to sum.
        const std::size_t n_slabs = std::max<std::size_t>(1, divide_up(x_.cols, depth_block));
        const std::size_t step =
            divide_up(divide_up(x_.cols, n_slabs), floats_per_line) * floats_per_line;
        std::size_t begin = 0;
        do {
            take_slab(begin, std::min(step, x_.cols - begin));
            begin += step;
        } while (begin < x_.cols);
    }

private:
    void take_slab(std::size_t begin, std::size_t depth) {
        const std::size_t width = kernels_.panel_width;
        for (std::size_t j = 0; j < w_.rows; j += width) {
            kernels_.pack_transposed(w_.row(j) + begin, w_.stride, std::min(width, w_.rows - j),
                                     depth, slab_ + j * depth);
        }
        const bool accumulate = begin > 0 || !bias_.empty();
        for (std::size_t t = 0; t < x_.rows; t += kernels_.panel_height) {
            const std::size_t n = std::min(kernels_.panel_height, x_.rows - t);
            for (std::size_t i = 0; i < n; ++i) {
                std::memcpy(left_ + i * packed_stride, x_.row(t + i) + begin,
                            depth * sizeof(float));
            }
            for (std::size_t j = 0; j < w_.rows; j += width) {
                prefetch(t + kernels_.panel_height + j / width, begin, depth);
                multiply(t, n, j, depth, accumulate);
            }
        }
    }

    /// Starts a row of the next panel of x on its way while this panel is multiplied.
    void prefetch(std::size_t t, std::size_t begin, std::size_t depth) const {
        if (t >= x_.rows) {
            return;
        }
        for (std::size_t k = 0; k < depth; k += floats_per_line) {
            __builtin_prefetch(x_.row(t) + begin + k, 0, 2);
        }
    }

    void multiply(std::size_t t, std::size_t n, std::size_t j, std::size_t depth,
                  bool accumulate) const {
        const std::size_t width = kernels_.panel_width;
        float* y = y_.row(t) + j;
        if (j + width <= y_.cols) {
            kernels_.multiply(n, depth, left_, slab_ + j * depth, y, y_.stride, accumulate);
            return;
        }
        float product[max_product] = {};
        const std::size_t n_cols = y_.cols - j;
        if (accumulate) {
            for (std::size_t i = 0; i < n; ++i) {
                std::copy_n(y + i * y_.stride, n_cols, product + i * width);
            }
        }
        kernels_.multiply(n, depth, left_, slab_ + j * depth, product, width, true);
        for (std::size_t i = 0; i < n; ++i) {
            std::copy_n(product + i * width, n_cols, y + i * y_.stride);
        }
    }

    const VectorKernels& kernels_ = vector_kernels();
    MatrixView<const float> x_;
    MatrixView<const float> w_;
    std::span<const float> bias_;
    MatrixView<float> y_;
    float* slab_ = nullptr;  ///< panels of w, [depth][panel_width] each
    float* left_ = nullptr;  ///< [panel_height, packed_stride] of x
};

void linear_few(ThreadPool& pool, MatrixView<const float> x, MatrixView<const float> w,
                std::span<const float> bias, MatrixView<float> y) {
    const VectorKernels& kernels = vector_kernels();
    const std::size_t step =
        std::max<std::size_t>(16, few_tokens_tile / std::max<std::size_t>(x.cols, 1));
    pool.for_each(divide_up(w.rows, step), [&](std::size_t tile) {
        const std::size_t begin = tile * step;
        const std::size_t end = std::min(w.rows, begin + step);
        kernels.multiply_few(x.data, x.stride, x.rows, w.row(begin), w.stride, end - begin, x.cols,
                             y.data + begin, y.stride);
        if (bias.empty()) {
            return;
        }
        for (std::size_t t = 0; t < y.rows; ++t) {
            for (std::size_t j = begin; j < end; ++j) {
                y(t, j) += bias[j];
            }
        }
    });
}

}  // namespace

void CpuBackend::do_linear(MatrixView<const float> x, MatrixView<const float> w,
                           std::span<const float> bias, MatrixView<float> y) const {
    if (x.rows <= few_tokens) {
        return linear_few(pool_, x, w, bias, y);
    }

    const std::size_t step = x.rows >= tile_tokens ? tile_features : small_tile_features;
    const std::size_t n_token_tiles = divide_up(x.rows, tile_tokens);
    pool_.for_each(n_token_tiles * divide_up(w.rows, step), [&](std::size_t tile) {
        const std::size_t token = tile % n_token_tiles * tile_tokens;
        const std::size_t feature = tile / n_token_tiles * step;
        const std::size_t n_tokens = std::min(tile_tokens, x.rows - token);
        const std::size_t n_features = std::min(step, w.rows - feature);
        LinearTile(x.row_range(token, n_tokens), w.row_range(feature, n_features),
                   bias.empty() ? bias : bias.subspan(feature, n_features),
                   y.row_range(token, n_tokens).col_range(feature, n_features))
            .run();
    });
}

}  // namespace lathe::kernels
