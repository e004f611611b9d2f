#include <algorithm>
#include <cmath>

#include "kernels/contract/host_checks.hpp"
#include "kernels/cpu/common/blas.hpp"
#include "kernels/cpu/common/vector_clones.hpp"
#include "kernels/cpu/common/vector_kernels.hpp"
#include "kernels/cpu/forward/cpu_gradients.hpp"
#include "kernels/layouts/activation_slope.hpp"

namespace lathe::kernels {
namespace {

/// Tokens and columns of a tile of dy @ w: its two operands come out of the cache, and there are
/// enough of them to keep threads busy.
constexpr std::size_t tile_tokens = 256;
constexpr std::size_t tile_columns = 256;
/// Elements of a tile of rows.
constexpr std::size_t row_tile_elements = std::size_t{1} << 16;
/// Columns of a tile of add_squares(): each sum is one thread's, in the order of the tokens.
constexpr std::size_t square_columns = 64;

std::size_t divide_up(std::size_t n, std::size_t by) {
    return (n + by - 1) / by;
}

/// Calls row(i) for all rows, in tiles whose height depends on the row length alone.
template <class Row>
void for_each_row(ThreadPool& pool, std::size_t n_rows, std::size_t n_cols, const Row& row) {
    const std::size_t height =
        std::max<std::size_t>(1, row_tile_elements / std::max<std::size_t>(n_cols, 1));
    pool.for_each(divide_up(n_rows, height), [&](std::size_t tile) {
        const std::size_t end = std::min(n_rows, (tile + 1) * height);
        for (std::size_t i = tile * height; i < end; ++i) {
            row(i);
        }
    });
}

struct NormRow {
    const float* x;
    const float* weight;
    const float* dy;
    float* dx;
    std::size_t n;
};

LATHE_ALWAYS_INLINE double mean_of(const NormRow& row) {
    LaneSums sums{};
    const std::size_t whole = row.n / sum_lanes * sum_lanes;
    for (std::size_t first = 0; first < whole; first += sum_lanes) {
#pragma omp simd
        for (std::size_t lane = 0; lane < sum_lanes; ++lane) {
            sums[lane] += static_cast<double>(row.x[first + lane]);
        }
    }
    for (std::size_t j = whole; j < row.n; ++j) {
        sums[j - whole] += static_cast<double>(row.x[j]);
    }
    return total(sums) / static_cast<double>(row.n);
}

/// Of x less its mean, and g = dy * weight: x x, g x and g, summed over the row.
struct NormSums {
    LaneSums squares{};
    LaneSums along{};
    LaneSums level{};
};

LATHE_ALWAYS_INLINE void add(const NormRow& row, double mean, std::size_t j, std::size_t lane,
                             NormSums& sums) {
    const double x = static_cast<double>(row.x[j]) - mean;
    const double g = static_cast<double>(row.dy[j]) * static_cast<double>(row.weight[j]);
    sums.squares[lane] += x * x;
    sums.along[lane] += g * x;
    sums.level[lane] += g;
}

/// As in the reference. The sums are in fp64.
LATHE_VECTOR_CLONES
void norm_row(const NormRow& row, float epsilon, bool centred) {
    const auto n = static_cast<double>(row.n);
    const double mean = centred ? mean_of(row) : 0.0;
    NormSums sums;
    const std::size_t whole = row.n / sum_lanes * sum_lanes;
    for (std::size_t first = 0; first < whole; first += sum_lanes) {
#pragma omp simd
        for (std::size_t lane = 0; lane < sum_lanes; ++lane) {
            add(row, mean, first + lane, lane, sums);
        }
    }
    for (std::size_t j = whole; j < row.n; ++j) {
        add(row, mean, j, j - whole, sums);
    }
    const double root = std::sqrt(total(sums.squares) / n + static_cast<double>(epsilon));
    const double by_x = total(sums.along) / (n * root * root);
    const double by_one = centred ? total(sums.level) / n : 0.0;
#pragma omp simd
    for (std::size_t j = 0; j < row.n; ++j) {
        const double x = static_cast<double>(row.x[j]) - mean;
        const double g = static_cast<double>(row.dy[j]) * static_cast<double>(row.weight[j]);
        row.dx[j] = static_cast<float>((g - by_x * x - by_one) / root);
    }
}

LATHE_VECTOR_CLONES
void add_squares_of(const float* x, std::size_t n, double* sums) {
    for (std::size_t j = 0; j < n; ++j) {
        sums[j] += static_cast<double>(x[j]) * static_cast<double>(x[j]);
    }
}

/// Eight sums, so that the order does not depend on the instruction set.
LATHE_VECTOR_CLONES
double squares_of(const float* x, std::size_t n) {
    constexpr std::size_t lanes = 8;
    double sums[lanes] = {};
    std::size_t j = 0;
    for (; j + lanes <= n; j += lanes) {
        for (std::size_t lane = 0; lane < lanes; ++lane) {
            const double value = x[j + lane];
            sums[lane] += value * value;
        }
    }
    for (; j < n; ++j) {
        sums[j % lanes] += static_cast<double>(x[j]) * static_cast<double>(x[j]);
    }
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) +
           ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

}  // namespace

CpuGradients::CpuGradients(ThreadPool& pool) : pool_(pool) {
    blas::use_threads(1);
}

void CpuGradients::do_linear(MatrixView<const float> dy, MatrixView<const float> w, bool accumulate,
                             MatrixView<float> dx) const {
    const std::size_t n_columns = divide_up(dx.cols, tile_columns);
    pool_.for_each(divide_up(dx.rows, tile_tokens) * n_columns, [&](std::size_t tile) {
        const std::size_t token = tile / n_columns * tile_tokens;
        const std::size_t column = tile % n_columns * tile_columns;
        const std::size_t rows = std::min(tile_tokens, dx.rows - token);
        const std::size_t cols = std::min(tile_columns, dx.cols - column);
        blas::gemm(blas::Transpose::no, blas::Transpose::no, 1.0F, dy.row_range(token, rows),
                   w.col_range(column, cols), accumulate ? 1.0F : 0.0F,
                   dx.row_range(token, rows).col_range(column, cols));
    });
}

void CpuGradients::do_rms_norm(MatrixView<const float> x, std::span<const float> weight,
                               float epsilon, MatrixView<const float> dy,
                               MatrixView<float> dx) const {
    for_each_row(pool_, x.rows, x.cols, [&](std::size_t t) {
        norm_row({x.row(t), weight.data(), dy.row(t), dx.row(t), x.cols}, epsilon, false);
    });
}

void CpuGradients::do_layer_norm(MatrixView<const float> x, std::span<const float> weight,
                                 float epsilon, MatrixView<const float> dy,
                                 MatrixView<float> dx) const {
    for_each_row(pool_, x.rows, x.cols, [&](std::size_t t) {
        norm_row({x.row(t), weight.data(), dy.row(t), dx.row(t), x.cols}, epsilon, true);
    });
}

void CpuGradients::do_rope(MatrixView<float> dx, std::size_t head_dim, MatrixView<const float> cos,
                           MatrixView<const float> sin,
                           std::span<const std::uint32_t> positions) const {
    require_below(positions, cos.rows, "gradient of rope: position");
    const std::size_t half = cos.cols;
    for_each_row(pool_, dx.rows, dx.cols, [&](std::size_t t) {
        const float* c = cos.row(positions[t]);
        const float* s = sin.row(positions[t]);
        for (std::size_t first = 0; first < dx.cols; first += head_dim) {
            float* a = dx.row(t) + first;
            float* b = a + half;
            for (std::size_t i = 0; i < half; ++i) {
                const float turned = a[i] * c[i] + b[i] * s[i];
                b[i] = b[i] * c[i] - a[i] * s[i];
                a[i] = turned;
            }
        }
    });
}

void CpuGradients::do_activate(Activation kind, MatrixView<const float> x,
                               MatrixView<const float> dy, MatrixView<float> dx) const {
    for_each_row(pool_, x.rows, x.cols, [&](std::size_t t) {
        for (std::size_t j = 0; j < x.cols; ++j) {
            dx(t, j) = dy(t, j) * activation_point(kind, x(t, j)).slope;
        }
    });
}

void CpuGradients::do_activate_multiply(Activation kind, MatrixView<const float> gate,
                                        MatrixView<const float> up, MatrixView<const float> dy,
                                        MatrixView<float> d_gate, MatrixView<float> d_up) const {
    for_each_row(pool_, gate.rows, gate.cols, [&](std::size_t t) {
        for (std::size_t j = 0; j < gate.cols; ++j) {
            const auto [value, slope] = activation_point(kind, gate(t, j));
            const float u = up(t, j);
            d_gate(t, j) = dy(t, j) * u * slope;
            d_up(t, j) = dy(t, j) * value;
        }
    });
}

void CpuGradients::do_cross_entropy(MatrixView<const float> logits,
                                    std::span<const std::uint32_t> targets,
                                    MatrixView<float> d_logits) const {
    require_below(targets, logits.cols, "gradient of cross_entropy: target");
    const VectorKernels& kernels = vector_kernels();
    pool_.for_each(logits.rows, [&](std::size_t t) {
        const float* row = logits.row(t);
        const float largest = kernels.maximum(row, logits.cols);
        const double total = kernels.sum_exp(row, static_cast<double>(largest), logits.cols);
        const auto inverse = static_cast<float>(1.0 / total);
        for (std::size_t j = 0; j < logits.cols; ++j) {
            d_logits(t, j) = std::exp(row[j] - largest) * inverse;
        }
        d_logits(t, targets[t]) -= 1.0F;
    });
}

void CpuGradients::do_sample(MatrixView<const float> logits, std::span<const double> uniform,
                             std::span<std::uint32_t> targets) const {
    const VectorKernels& kernels = vector_kernels();
    pool_.for_each(logits.rows, [&](std::size_t t) {
        const float* row = logits.row(t);
        const auto largest = static_cast<double>(kernels.maximum(row, logits.cols));
        const double wanted = uniform[t] * kernels.sum_exp(row, largest, logits.cols);
        double sum = 0.0;
        std::size_t j = 0;
        while (j + 1 < logits.cols &&
               (sum += std::exp(static_cast<double>(row[j]) - largest)) <= wanted) {
            ++j;
        }
        targets[t] = static_cast<std::uint32_t>(j);
    });
}

void CpuGradients::do_add_row_squares(MatrixView<const float> x, std::span<double> sums) const {
    for_each_row(pool_, x.rows, x.cols,
                 [&](std::size_t t) { sums[t] += squares_of(x.row(t), x.cols); });
}

void CpuGradients::do_add_squares(MatrixView<const float> x, std::span<double> sums) const {
    pool_.for_each(divide_up(x.cols, square_columns), [&](std::size_t tile) {
        const std::size_t begin = tile * square_columns;
        const std::size_t n = std::min(square_columns, x.cols - begin);
        for (std::size_t t = 0; t < x.rows; ++t) {
            add_squares_of(x.row(t) + begin, n, sums.data() + begin);
        }
    });
}

}  // namespace lathe::kernels
