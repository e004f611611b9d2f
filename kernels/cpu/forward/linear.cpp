#include <algorithm>

#include "kernels/cpu/common/scratch.hpp"
#include "kernels/cpu/common/vector_kernels.hpp"
#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/forward/linear_operands.hpp"

// y = x @ w^T with our own inner loop rather than a BLAS call for each tile: BLAS packs both
// operands again in every call, which costs a tenth of the time or more at tile sizes that keep
// several threads busy. Here x is packed once, into strips of panel_height tokens, and w into
// panels of panel_width features: once for all tiles, or by each tile if there is one tile of
// tokens only. An element of y is summed over the same slabs of depth in the same order wherever it
// lies, so it depends neither on the tile nor on the other tokens of the call.

namespace lathe::kernels {
namespace {

using namespace linear_operands;

/// Up to this many tokens the time goes into reading w, not into arithmetic: w is read once, where
/// it lies, instead of being packed for a matrix product.
constexpr std::size_t few_tokens = 8;
/// Elements of w in a tile of that kind: 256 KiB, which a few cores share out evenly.
constexpr std::size_t few_tokens_tile = std::size_t{1} << 16;
/// Tokens of a tile at most, a multiple of all panel heights.
constexpr std::size_t tile_tokens = 546;
/// Features of a tile. A slab of them takes 384 KiB: two threads that share a cache of 1 MiB find
/// room for it. If all tokens fit into one tile, it is the features that must keep threads busy.
constexpr std::size_t tile_features = 256;
constexpr std::size_t small_tile_features = 128;
/// Floats that the packed x, and the packed w, may take (64 MiB each). What is beyond waits until
/// they are done with.
constexpr std::size_t packed_limit = std::size_t{1} << 24;
/// Largest panel_height * panel_width of any variant.
constexpr std::size_t max_product = 14 * 32;

/// The inner loop: VectorKernels::multiply, or ::multiply_pairs if x and w are words of two
/// bfloat16 numbers each in place of floats.
using Multiply = decltype(VectorKernels::multiply);

/// y (+)= x @ panels^T for one slab of a tile whose first token is `token`.
void multiply_slab(Multiply multiply, const Strips& strips, std::size_t slab, std::size_t token,
                   const float* panels, std::size_t depth, bool accumulate, MatrixView<float> y) {
    const VectorKernels& kernels = vector_kernels();
    const std::size_t width = kernels.panel_width;
    thread_local Scratch scratch;
    float* own = scratch.floats(kernels.panel_height * packed_stride);
    for (std::size_t t = 0; t < y.rows; t += kernels.panel_height) {
        const std::size_t n = std::min(kernels.panel_height, y.rows - t);
        const float* strip = strips.get(slab, token + t, own);
        for (std::size_t j = 0; j < y.cols; j += width) {
            // Each panel brings two rows of the next strip into the cache.
            const Rows next = strips.after(slab, token + t, 2 * j / width);
            const float* panel = panels + j * depth;
            float* target = y.row(t) + j;
            const std::size_t n_cols = std::min(width, y.cols - j);
            if (n_cols == width) {
                multiply(n, depth, strip, panel, target, y.stride, accumulate, next.data,
                         next.stride);
                continue;
            }
            float product[max_product] = {};
            for (std::size_t i = 0; accumulate && i < n; ++i) {
                std::copy_n(target + i * y.stride, n_cols, product + i * width);
            }
            multiply(n, depth, strip, panel, product, width, true, next.data, next.stride);
            for (std::size_t i = 0; i < n; ++i) {
                std::copy_n(product + i * width, n_cols, target + i * y.stride);
            }
        }
    }
}

/// Puts the bias where it will be added to; false if there is none.
bool place_bias(std::span<const float> bias, MatrixView<float> y) {
    for (std::size_t t = 0; t < y.rows && !bias.empty(); ++t) {
        std::copy(bias.begin(), bias.end(), y.row(t));
    }
    return !bias.empty();
}

std::span<const float> part_of(std::span<const float> bias, std::size_t first, std::size_t n) {
    return bias.empty() ? bias : bias.subspan(first, n);
}

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

/// At most tile_tokens tokens: each tile packs its own features, slab by slab, since no other tile
/// needs them.
void linear_one_tile(ThreadPool& pool, Multiply multiply, MatrixView<const float> x,
                     MatrixView<const float> w, std::span<const float> bias, MatrixView<float> y) {
    const Slabs slabs(x.cols);
    Strips strips(x, slabs, divide_up(w.rows, small_tile_features));
    thread_local Scratch strips_memory;
    strips.place(strips_memory.floats(strips.size()));
    pool.for_each(strips.n_tasks(), [&](std::size_t task) { strips.pack(task); });

    pool.for_each(divide_up(w.rows, small_tile_features), [&](std::size_t tile) {
        const std::size_t first = tile * small_tile_features;
        const std::size_t n = std::min(small_tile_features, w.rows - first);
        const MatrixView<float> target = y.col_range(first, n);
        bool accumulate = place_bias(part_of(bias, first, n), target);
        thread_local Scratch panels_memory;
        const Panels panels(w.row_range(first, n), slabs, nullptr);
        for (std::size_t slab = 0; slab < slabs.count; ++slab) {
            const std::size_t depth = slabs.size(slab);
            float* memory = panels_memory.floats(Panels::size(n, depth));
            for (std::size_t task = 0; task < panels.n_tasks(); ++task) {
                panels.pack(task, slab, memory + task * vector_kernels().panel_width * depth);
            }
            multiply_slab(multiply, strips, slab, 0, memory, depth, accumulate, target);
            accumulate = true;
        }
    });
}

/// More tokens: everything is packed before the tiles begin, and all tiles read it.
void linear_many_tiles(ThreadPool& pool, Multiply multiply, MatrixView<const float> x,
                       MatrixView<const float> w, std::span<const float> bias,
                       MatrixView<float> y) {
    const Slabs slabs(x.cols);
    Strips strips(x, slabs, divide_up(w.rows, tile_features));
    thread_local Scratch scratch;
    float* memory = scratch.floats(strips.size() + Panels::size(w.rows, x.cols));
    strips.place(memory);
    const Panels panels(w, slabs, memory + strips.size());
    pool.for_each(strips.n_tasks() + panels.n_tasks(), [&](std::size_t task) {
        if (task < strips.n_tasks()) {
            strips.pack(task);
        } else {
            panels.pack(task - strips.n_tasks());
        }
    });

    // Tiles of equal height; neighbours read the same panels at the same time.
    const std::size_t n_token_tiles = divide_up(x.rows, tile_tokens);
    const std::size_t step =
        round_up(divide_up(x.rows, n_token_tiles), vector_kernels().panel_height);
    pool.for_each(n_token_tiles * divide_up(w.rows, tile_features), [&](std::size_t tile) {
        const std::size_t token = std::min(x.rows, tile % n_token_tiles * step);
        const std::size_t feature = tile / n_token_tiles * tile_features;
        const std::size_t n_features = std::min(tile_features, w.rows - feature);
        const MatrixView<float> target =
            y.row_range(token, std::min(step, x.rows - token)).col_range(feature, n_features);
        bool accumulate = place_bias(part_of(bias, feature, n_features), target);
        for (std::size_t slab = 0; slab < slabs.count; ++slab) {
            multiply_slab(multiply, strips, slab, token, panels.at(slab, feature), slabs.size(slab),
                          accumulate, target);
            accumulate = true;
        }
    });
}

/// How many tokens, and how many features, are multiplied at once.
struct Part {
    std::size_t tokens;
    std::size_t features;

    explicit Part(std::size_t depth) {
        const std::size_t fitting = packed_limit / std::max<std::size_t>(1, depth);
        tokens = std::max(tile_tokens + 1, fitting);
        features = round_up(std::max<std::size_t>(1, fitting), tile_features);
    }
};

void linear_part(ThreadPool& pool, Multiply multiply, MatrixView<const float> x,
                 MatrixView<const float> w, std::span<const float> bias, MatrixView<float> y) {
    if (x.rows <= tile_tokens) {
        linear_one_tile(pool, multiply, x, w, bias, y);
    } else {
        linear_many_tiles(pool, multiply, x, w, bias, y);
    }
}

/// x as words of two bfloat16 numbers, the last one's second 0 if they are odd in number. Valid
/// until the next call with this memory.
MatrixView<const float> as_pairs(ThreadPool& pool, MatrixView<const float> x, Scratch& memory) {
    const std::size_t n_words = divide_up(x.cols, 2);
    const MatrixView<float> words(memory.floats(x.rows * n_words), x.rows, n_words);
    constexpr std::size_t rows_per_task = 16;
    pool.for_each(divide_up(x.rows, rows_per_task), [&](std::size_t task) {
        const std::size_t end = std::min(x.rows, (task + 1) * rows_per_task);
        for (std::size_t i = task * rows_per_task; i < end; ++i) {
            vector_kernels().round_to_pairs(x.row(i), x.cols, words.row(i));
        }
    });
    return words;
}

}  // namespace

void CpuBackend::do_linear(MatrixView<const float> x, MatrixView<const float> w,
                           std::span<const float> bias, MatrixView<float> y) const {
    if (x.rows <= few_tokens) {
        return linear_few(pool_, x, w, bias, y);
    }
    const Multiply product = vector_kernels().multiply;
    const Part part(x.cols);
    if (x.rows <= tile_tokens) {
        return linear_one_tile(pool_, product, x, w, bias, y);
    }
    for (std::size_t t = 0; t < x.rows; t += part.tokens) {
        const std::size_t rows = std::min(part.tokens, x.rows - t);
        for (std::size_t j = 0; j < w.rows; j += part.features) {
            const std::size_t cols = std::min(part.features, w.rows - j);
            linear_many_tiles(pool_, product, x.row_range(t, rows), w.row_range(j, cols),
                              part_of(bias, j, cols), y.row_range(t, rows).col_range(j, cols));
        }
    }
}

void CpuBackend::do_linear_bf16(MatrixView<const float> x, MatrixView<const float> w,
                                std::span<const float> bias, MatrixView<float> y) const {
    thread_local Scratch x_memory;
    thread_local Scratch w_memory;
    const Part part(divide_up(x.cols, 2));
    for (std::size_t t = 0; t < x.rows; t += part.tokens) {
        const std::size_t rows = std::min(part.tokens, x.rows - t);
        const MatrixView<const float> x_pairs = as_pairs(pool_, x.row_range(t, rows), x_memory);
        for (std::size_t j = 0; j < w.rows; j += part.features) {
            const std::size_t cols = std::min(part.features, w.rows - j);
            linear_part(pool_, vector_kernels().multiply_pairs, x_pairs,
                        as_pairs(pool_, w.row_range(j, cols), w_memory), part_of(bias, j, cols),
                        y.row_range(t, rows).col_range(j, cols));
        }
    }
}

}  // namespace lathe::kernels
