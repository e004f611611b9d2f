#include "kernels/cpu/variants/kernels.hpp"
#include "kernels/cpu/variants/simd.hpp"

namespace lathe::kernels::LATHE_ISA {

void scale(const float* x, float factor, std::size_t n, float* y) {
    for (std::size_t j = 0; j < n; ++j) {
        y[j] = x[j] * factor;
    }
}

void rms_norm(const float* x, const float* weight, float epsilon, std::size_t n, float* y) {
    Doubles sums[4] = {};
    std::size_t j = 0;
    for (; j + 2 * lanes <= n; j += 2 * lanes) {
#pragma GCC unroll 4
        for (std::size_t part = 0; part < 4; ++part) {
            const Doubles value = load_as_double(x + j + part * lanes / 2);
            sums[part] += value * value;
        }
    }
    double sum = sum_of((sums[0] + sums[1]) + (sums[2] + sums[3]));
    for (; j < n; ++j) {
        sum += static_cast<double>(x[j]) * x[j];
    }
    const double mean = sum / static_cast<double>(n) + epsilon;
    const float factor = static_cast<float>(1.0 / __builtin_sqrt(mean));
    for (j = 0; j < n; ++j) {
        y[j] = x[j] * factor * weight[j];
    }
}

void rotate(float* head, const float* cos, const float* sin, std::size_t n) {
    float* other = head + n;
#pragma omp simd
    for (std::size_t i = 0; i < n; ++i) {
        const float a = head[i];
        const float b = other[i];
        head[i] = a * cos[i] - b * sin[i];
        other[i] = b * cos[i] + a * sin[i];
    }
}

void silu_multiply(const float* gate, const float* up, std::size_t n, float* y) {
    // With z = exp(-|x|) nothing can overflow: silu(x) = x / (1 + z), or x z / (1 + z) below 0.
    const auto combine = [](Floats x, Floats other) {
        const Floats z = exp_of(x > 0.0F ? -x : x);
        return (x > 0.0F ? x : x * z) / (z + 1.0F) * other;
    };
    std::size_t j = 0;
    for (; j + lanes <= n; j += lanes) {
        store(y + j, combine(load(gate + j), load(up + j)));
    }
    const std::size_t rest = n - j;
    store_some(y + j, rest,
               combine(load_some(gate + j, rest, 0.0F), load_some(up + j, rest, 0.0F)));
}

void add(const float* x, std::size_t n, float* y) {
#pragma omp simd
    for (std::size_t j = 0; j < n; ++j) {
        y[j] += x[j];
    }
}

bool all_finite(const float* x, std::size_t n) {
    constexpr std::uint32_t exponent = 0x7F800000;
    std::uint32_t found = 0;
    for (std::size_t j = 0; j < n; ++j) {
        std::uint32_t bits;
        __builtin_memcpy(&bits, x + j, sizeof bits);
        found |= (bits & exponent) == exponent ? 1U : 0U;
    }
    return found == 0;
}

}  // namespace lathe::kernels::LATHE_ISA
