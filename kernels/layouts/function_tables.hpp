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

    /// to = f(q * 2^-shift) for n numbers; beyond the ends that of the end. |q| < 2^15
    template <class Loops, class Q>
    void look_up(const Q* q, std::size_t n, int shift, std::int32_t* to) const {
        if (shift <= input_bits) {
            const int up = std::min(input_bits - shift, 30);
            const std::int32_t most = (end - 1) >> up;
            for (std::size_t j = 0; j < n; ++j) {
                const std::int32_t x = q[j];
                const auto moved = static_cast<std::int32_t>(static_cast<std::uint32_t>(x) << up);
                to[j] = end + (x > most ? end - 1 : x < -most ? -end : moved);
            }
        } else {
            const int down = std::min(shift - input_bits, 30);
            for (std::size_t j = 0; j < n; ++j) {
                to[j] = end + round_right<std::int32_t>(q[j], down);
            }
        }
        Loops::interpolate(values_.data(), rest_bits, to, n, to);
    }

private:
    static constexpr std::int32_t end = 16 << input_bits;

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

/// 2^-(i / 256) for i up to 256, power_bits behind the binary point.
[[nodiscard]] inline const std::int32_t* power_table() {
    static const std::array<std::int32_t, 257> table = [] {
        std::array<std::int32_t, 257> values{};
        for (std::size_t i = 0; i < values.size(); ++i) {
            values[i] = static_cast<std::int32_t>(
                std::nearbyint(std::ldexp(std::exp2(-static_cast<double>(i) / 256.0), power_bits)));
        }
        return values;
    }();
    return table.data();
}

/// From here on powers are 0.
inline constexpr std::int32_t largest_exponent = (power_bits + 1) << exponent_bits;

/// x = 2^-x for n numbers up to largest_exponent, both with a binary point; `whole` is memory for
/// as many.
template <class Loops>
void negative_powers(std::int32_t* x, std::int32_t* whole, std::size_t n) {
    for (std::size_t j = 0; j < n; ++j) {
        whole[j] = x[j] >> exponent_bits;
        x[j] &= (1 << exponent_bits) - 1;
    }
    Loops::interpolate(power_table(), exponent_bits - 8, x, n, x);
    for (std::size_t j = 0; j < n; ++j) {
        x[j] >>= whole[j];
    }
}

}  // namespace lathe::kernels::fixed_point
