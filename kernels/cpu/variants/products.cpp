#include "kernels/cpu/variants/row_products.hpp"

namespace lathe::kernels::LATHE_ISA {
namespace {

constexpr std::size_t width = product_width;

struct Float {
    template <std::size_t n_rows>
    static void add_products(const float* a, const float* panel, Floats (&sums)[n_rows][2]) {
        const Floats left = load(panel);
        const Floats right = load(panel + lanes);
#pragma GCC unroll 16
        for (std::size_t i = 0; i < n_rows; ++i) {
            const Floats element = broadcast(a[i * packed_stride]);
            sums[i][0] += element * left;
            sums[i][1] += element * right;
        }
    }
};

/// multiply_panels for the columns of the right panel from `first` on.
template <std::size_t first>
void multiply_strip(std::size_t depth, const float* left, const float* right, float* c,
                    std::size_t c_stride, bool accumulate) {
    constexpr std::size_t parts = (width - first) / lanes;
    Floats sums[product_strip][parts] = {};
    for (std::size_t i = 0; i < product_strip; ++i) {
        for (std::size_t part = 0; part < parts; ++part) {
            __builtin_prefetch(c + i * c_stride + first + part * lanes, 1);
        }
    }
    for (std::size_t k = 0; k < depth; ++k) {
        // Both panels come from the second-level cache.
        __builtin_prefetch(left + (k + 8) * width);
        Floats row[parts];
#pragma GCC unroll 2
        for (std::size_t part = 0; part < parts; ++part) {
            const float* source = right + k * width + first + part * lanes;
            __builtin_prefetch(source + 8 * width);
            row[part] = load(source);
        }
#pragma GCC unroll 16
        for (std::size_t i = 0; i < product_strip; ++i) {
            const Floats element = broadcast(left[k * width + i]);
#pragma GCC unroll 2
            for (std::size_t part = 0; part < parts; ++part) {
                sums[i][part] += element * row[part];
            }
        }
    }
#pragma GCC unroll 16
    for (std::size_t i = 0; i < product_strip; ++i) {
#pragma GCC unroll 2
        for (std::size_t part = 0; part < parts; ++part) {
            float* target = c + i * c_stride + first + part * lanes;
            store(target, accumulate ? sums[i][part] + load(target) : sums[i][part]);
        }
    }
}

/// Transposes a square of registers: swaps the halves of pairs of rows, then quarters, and so on.
void transpose(Floats (&rows)[lanes]) {
    Ints low{};
    Ints high{};
#pragma GCC unroll 8
    for (std::size_t step = 1; step < lanes; step *= 2) {
        // Lanes whose number has the bit `step` come from the other row of the pair.
        for (std::size_t i = 0; i < lanes; ++i) {
            const bool bit = (i & step) != 0;
            low[i] = static_cast<std::int32_t>(bit ? lanes + i - step : i);
            high[i] = static_cast<std::int32_t>(bit ? lanes + i : i + step);
        }
#pragma GCC unroll 16
        for (std::size_t i = 0; i < lanes; ++i) {
            if ((i & step) != 0) {
                continue;
            }
            const Floats a = rows[i];
            const Floats b = rows[i + step];
            rows[i] = __builtin_shuffle(a, b, low);
            rows[i + step] = __builtin_shuffle(a, b, high);
        }
    }
}

/// multiply_few for a fixed number of tokens: `n_rows` rows of w at a time, so that enough loads
/// are under way and x comes out of the cache once for all of them.
template <std::size_t n_tokens, std::size_t n_rows>
void dot_block(const float* x, std::size_t x_stride, const float* w, std::size_t w_stride,
               std::size_t depth, float* y, std::size_t y_stride) {
    Floats sums[n_rows][n_tokens] = {};
    const auto take = [&](std::size_t k, auto read) {
        Floats token[n_tokens];
#pragma GCC unroll 8
        for (std::size_t t = 0; t < n_tokens; ++t) {
            token[t] = read(x + t * x_stride + k);
        }
#pragma GCC unroll 4
        for (std::size_t j = 0; j < n_rows; ++j) {
            const Floats weight = read(w + j * w_stride + k);
#pragma GCC unroll 8
            for (std::size_t t = 0; t < n_tokens; ++t) {
                sums[j][t] += weight * token[t];
            }
        }
    };
    std::size_t k = 0;
    for (; k + lanes <= depth; k += lanes) {
        take(k, [](const float* p) { return load(p); });
    }
    if (k < depth) {
        take(k, [n = depth - k](const float* p) { return load_some(p, n, 0.0F); });
    }
    for (std::size_t j = 0; j < n_rows; ++j) {
        for (std::size_t t = 0; t < n_tokens; ++t) {
            y[t * y_stride + j] = sum_of(sums[j][t]);
        }
    }
}

template <std::size_t n_tokens>
void multiply_tokens(const float* x, std::size_t x_stride, const float* w, std::size_t w_stride,
                     std::size_t n_rows, std::size_t depth, float* y, std::size_t y_stride) {
    constexpr std::size_t step = n_tokens <= 2 ? 4 : (n_tokens <= 4 && lanes == 16 ? 4 : 2);
    std::size_t j = 0;
    for (; j + step <= n_rows; j += step) {
        dot_block<n_tokens, step>(x, x_stride, w + j * w_stride, w_stride, depth, y + j, y_stride);
    }
    for (; j < n_rows; ++j) {
        dot_block<n_tokens, 1>(x, x_stride, w + j * w_stride, w_stride, depth, y + j, y_stride);
    }
}

}  // namespace

void multiply(std::size_t n_rows, std::size_t depth, const float* a, const float* panel, float* c,
              std::size_t c_stride, bool accumulate, const float* next, std::size_t next_stride) {
    multiply_elements<Float>(n_rows, depth, a, panel, c, c_stride, accumulate, next, next_stride);
}

void multiply_panels(std::size_t depth, const float* left, const float* right, float* c,
                     std::size_t c_stride, bool accumulate, bool second_half) {
    if (second_half) {
        multiply_strip<lanes>(depth, left, right, c, c_stride, accumulate);
    } else {
        multiply_strip<0>(depth, left, right, c, c_stride, accumulate);
    }
}

void pack_transposed(const float* rows, std::size_t stride, std::size_t n_rows, std::size_t depth,
                     float* panel) {
    for (std::size_t half = 0; half < 2; ++half) {
        const std::size_t first = half * lanes;
        const std::size_t n =
            n_rows <= first ? 0 : (n_rows - first < lanes ? n_rows - first : lanes);
        const float* source = rows + first * stride;
        float* target = panel + first;
        for (std::size_t k = 0; k < depth; k += lanes) {
            const std::size_t n_k = depth - k < lanes ? depth - k : lanes;
            Floats square[lanes] = {};
            if (n == lanes && n_k == lanes) {
#pragma GCC unroll 16
                for (std::size_t j = 0; j < lanes; ++j) {
                    __builtin_prefetch(source + j * stride + k + 4 * lanes);
                    square[j] = load(source + j * stride + k);
                }
            } else {
                for (std::size_t j = 0; j < n; ++j) {
                    square[j] = load_some(source + j * stride + k, n_k, 0.0F);
                }
            }
            transpose(square);
            for (std::size_t i = 0; i < n_k; ++i) {
                store(target + (k + i) * width, square[i]);
            }
        }
    }
}

void pack(const float* rows, std::size_t stride, std::size_t n_cols, std::size_t depth,
          float* panel) {
    for (std::size_t k = 0; k < depth; ++k) {
        const float* source = rows + k * stride;
        float* target = panel + k * width;
        if (n_cols >= width) {
            store(target, load(source));
            store(target + lanes, load(source + lanes));
            continue;
        }
        for (std::size_t j = 0; j < width; ++j) {
            target[j] = j < n_cols ? source[j] : 0.0F;
        }
    }
}

void multiply_few(const float* x, std::size_t x_stride, std::size_t n_tokens, const float* w,
                  std::size_t w_stride, std::size_t n_rows, std::size_t depth, float* y,
                  std::size_t y_stride) {
    using MultiplyTokens = void (*)(const float*, std::size_t, const float*, std::size_t,
                                    std::size_t, std::size_t, float*, std::size_t);
    constexpr MultiplyTokens table[] = {multiply_tokens<1>, multiply_tokens<2>, multiply_tokens<3>,
                                        multiply_tokens<4>, multiply_tokens<5>, multiply_tokens<6>,
                                        multiply_tokens<7>, multiply_tokens<8>};
    table[n_tokens - 1](x, x_stride, w, w_stride, n_rows, depth, y, y_stride);
}

}  // namespace lathe::kernels::LATHE_ISA
