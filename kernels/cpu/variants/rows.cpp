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
#pragma omp simd
    for (std::size_t i = 0; i < n; ++i) {
        y[i] = x[i] * factor * weight[i];
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

void layer_norm(const float* x, const float* weight, const float* bias, float epsilon,
                std::size_t n, float* y) {
    constexpr std::size_t step = lanes / 2;
    const auto count = static_cast<double>(n);
    const std::size_t whole = n / (4 * step) * (4 * step);

    Doubles sums[4] = {};
    for (std::size_t j = 0; j < whole; j += 4 * step) {
#pragma GCC unroll 4
        for (std::size_t part = 0; part < 4; ++part) {
            sums[part] += load_as_double(x + j + part * step);
        }
    }
    double sum = sum_of((sums[0] + sums[1]) + (sums[2] + sums[3]));
    for (std::size_t j = whole; j < n; ++j) {
        sum += static_cast<double>(x[j]);
    }
    const double mean = sum / count;

    Doubles squares[4] = {};
    for (std::size_t j = 0; j < whole; j += 4 * step) {
#pragma GCC unroll 4
        for (std::size_t part = 0; part < 4; ++part) {
            const Doubles deviation = load_as_double(x + j + part * step) - mean;
            squares[part] += deviation * deviation;
        }
    }
    double square = sum_of((squares[0] + squares[1]) + (squares[2] + squares[3]));
    for (std::size_t j = whole; j < n; ++j) {
        square += (x[j] - mean) * (x[j] - mean);
    }
    const double factor = 1.0 / __builtin_sqrt(square / count + static_cast<double>(epsilon));

    // The difference to the mean is taken in fp64: in fp32 a large mean would eat its digits.
    if (bias == nullptr) {
#pragma omp simd
        for (std::size_t j = 0; j < n; ++j) {
            y[j] = static_cast<float>((x[j] - mean) * factor) * weight[j];
        }
        return;
    }
#pragma omp simd
    for (std::size_t j = 0; j < n; ++j) {
        y[j] = static_cast<float>((x[j] - mean) * factor) * weight[j] + bias[j];
    }
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
