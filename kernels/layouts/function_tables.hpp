#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/layouts/fixed_point.hpp"
#include "lib/core/activation.hpp"

// Tables of functions for the operators on blocks (Integers), and how they are read. They are made
// once, in fp64; only whole numbers are looked up.

namespace lathe::kernels::fixed_point {

/// f over [-16, 16) in steps of 1/64, 20 bits behind the binary point; linear in between.
class FunctionTable {
public:
    static constexpr int value_bits = 20;
    /// Bits behind the binary point of what it is asked for.
    static constexpr int input_bits = 14;
    /// Of those behind the steps of the table.
    static constexpr int rest_bits = input_bits - 6;

    template <class F>
    explicit FunctionTable(const F& f) {
        for (std::size_t i = 0; i < values_.size(); ++i) {
            const double x = -16.0 + static_cast<double>(i) / 64.0;
            values_[i] = static_cast<std::int32_t>(std::nearbyint(std::ldexp(f(x), value_bits)));
        }
    }

    /// f(q * 2^-shift); beyond the ends that of the end. |q| < 2^15
    [[nodiscard]] std::int32_t at(int q, int shift) const {
        constexpr std::int64_t end = std::int64_t{16} << input_bits;
        const std::int64_t x =
            std::clamp(shifted(q, std::min(input_bits - shift, 30)), -end, end - 1);
        const auto place = static_cast<std::size_t>((x + end) >> rest_bits);
        const auto rest = static_cast<std::int32_t>((x + end) & ((1 << rest_bits) - 1));
        const std::int32_t low = values_[place];
        return low + (((values_[place + 1] - low) * rest + (1 << (rest_bits - 1))) >> rest_bits);
    }

private:
    std::array<std::int32_t, 2049> values_{};
};

/// f(x) / x of an activation that is x times something, or tanh itself.
/// @pre  not relu
[[nodiscard]] inline const FunctionTable& table_of(Activation kind) {
    static const FunctionTable silu([](double x) { return 1.0 / (1.0 + std::exp(-x)); });
    static const FunctionTable gelu([](double x) { return 0.5 * std::erfc(-x * M_SQRT1_2); });
    static const FunctionTable gelu_tanh([](double x) {
        const double inner = std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x);
        return 0.5 * (1.0 + std::tanh(inner));
    });
    static const FunctionTable tanh([](double x) { return std::tanh(x); });
    switch (kind) {
        case Activation::silu:
            return silu;
        case Activation::gelu:
            return gelu;
        case Activation::gelu_tanh:
            return gelu_tanh;
        case Activation::relu:
        case Activation::tanh:
            break;
    }
    return tanh;
}

/// Bits behind the binary point of powers, and of the exponents asked for.
inline constexpr int power_bits = 24;
inline constexpr int exponent_bits = 16;

/// 2^-x, x >= 0, both with a binary point; 0 from x = 25 on.
[[nodiscard]] inline std::int32_t negative_power(std::int64_t x) {
    static const std::array<std::int32_t, 257> table = [] {
        std::array<std::int32_t, 257> values{};
        for (std::size_t i = 0; i < values.size(); ++i) {
            values[i] = static_cast<std::int32_t>(
                std::nearbyint(std::ldexp(std::exp2(-static_cast<double>(i) / 256.0), power_bits)));
        }
        return values;
    }();
    const std::int64_t whole = x >> exponent_bits;
    if (whole > power_bits) {
        return 0;
    }
    const auto place = static_cast<std::size_t>((x >> 8) & 255);
    const auto rest = static_cast<std::int32_t>(x & 255);
    const std::int32_t high = table[place];
    return (high - (((high - table[place + 1]) * rest + 128) >> 8)) >> whole;
}

}  // namespace lathe::kernels::fixed_point
