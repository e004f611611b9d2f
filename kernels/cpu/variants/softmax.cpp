#include "kernels/cpu/variants/kernels.hpp"
#include "kernels/cpu/variants/simd.hpp"

namespace lathe::kernels::LATHE_ISA {

void add_ramp(float* scores, float slope, float first, std::size_t n) {
#pragma omp simd
    for (std::size_t j = 0; j < n; ++j) {
        scores[j] += slope * (first + static_cast<float>(static_cast<std::int32_t>(j)));
    }
}

float softmax_step(float* scores, std::size_t n, std::size_t begin, std::size_t end, float* maximum,
                   float* sum) {
    if (begin >= end) {
        for (std::size_t j = 0; j < n; ++j) {
            scores[j] = 0.0F;
        }
        return 1.0F;
    }
    const float masked = -__builtin_inff();
    for (std::size_t j = 0; j < begin; ++j) {
        scores[j] = masked;
    }
    for (std::size_t j = end; j < n; ++j) {
        scores[j] = masked;
    }

    Floats largest = broadcast(*maximum);
    for (std::size_t j = 0; j < n; j += lanes) {
        largest = larger(load(scores + j), largest);
    }
    const float old_maximum = *maximum;
    *maximum = maximum_of(largest);

    Floats total{};
    for (std::size_t j = 0; j < n; j += lanes) {
        const Floats p = exp_of(load(scores + j) - *maximum);
        store(scores + j, p);
        total += p;
    }
    const float factor = exp_of(broadcast(old_maximum - *maximum))[0];
    *sum = *sum * factor + sum_of(total);
    return factor;
}

void weighted_sum(const float* p, const float* rows, std::size_t stride, std::size_t n_rows,
                  std::size_t n_cols, float* y) {
    std::size_t j = 0;
    for (; j + 4 * lanes <= n_cols; j += 4 * lanes) {
        Floats sums[4] = {};
        for (std::size_t i = 0; i < n_rows; ++i) {
#pragma GCC unroll 4
            for (std::size_t part = 0; part < 4; ++part) {
                sums[part] += load(rows + i * stride + j + part * lanes) * p[i];
            }
        }
        for (std::size_t part = 0; part < 4; ++part) {
            store(y + j + part * lanes, sums[part]);
        }
    }
    for (; j < n_cols; j += lanes) {
        const std::size_t n = n_cols - j < lanes ? n_cols - j : lanes;
        Floats sum{};
        for (std::size_t i = 0; i < n_rows; ++i) {
            const float* row = rows + i * stride + j;
            sum += (n == lanes ? load(row) : load_some(row, n, 0.0F)) * p[i];
        }
        store_some(y + j, n, sum);
    }
}

float maximum(const float* x, std::size_t n) {
    Floats largest = broadcast(-__builtin_inff());
    std::size_t j = 0;
    for (; j + lanes <= n; j += lanes) {
        largest = larger(load(x + j), largest);
    }
    largest = larger(load_some(x + j, n - j, -__builtin_inff()), largest);
    return maximum_of(largest);
}

double sum_exp(const float* x, double shift, std::size_t n) {
    constexpr std::size_t step = lanes / 2;
    Doubles total{};
    std::size_t j = 0;
    for (; j + step <= n; j += step) {
        total += exp_of(load_as_double(x + j) - shift);
    }
    double sum = sum_of(total);
    for (; j < n; ++j) {
        sum += exp_of(broadcast(static_cast<double>(x[j])) - shift)[0];
    }
    return sum;
}

void divergence_sums(const float* p, double p_shift, const float* q, double q_shift, std::size_t n,
                     double sums[3]) {
    constexpr std::size_t step = lanes / 2;
    Doubles totals[3] = {};
    const auto take = [&](const float* p_values, const float* q_values, Doubles(&into)[3]) {
        const Doubles log_p = load_as_double(p_values) - p_shift;
        const Doubles log_q = load_as_double(q_values) - q_shift;
        const Doubles weight = exp_of(log_p);
        into[0] += weight;
        into[1] += exp_of(log_q);
        into[2] += weight == 0.0 ? Doubles{} : weight * (log_p - log_q);
    };
    std::size_t j = 0;
    for (; j + step <= n; j += step) {
        take(p + j, q + j, totals);
    }
    if (j < n) {
        // Beyond the end stand elements of no weight.
        float p_rest[step];
        float q_rest[step];
        for (std::size_t i = 0; i < step; ++i) {
            p_rest[i] = j + i < n ? p[j + i] : -__builtin_inff();
            q_rest[i] = j + i < n ? q[j + i] : -__builtin_inff();
        }
        take(p_rest, q_rest, totals);
    }
    for (std::size_t i = 0; i < 3; ++i) {
        sums[i] = sum_of(totals[i]);
    }
}

}  // namespace lathe::kernels::LATHE_ISA
