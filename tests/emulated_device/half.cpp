#include <array>
#include <bit>
#include <cmath>

#include "cuda_fp16.h"

namespace emulated {
namespace {

float value_of(std::uint16_t bits) {
    const int exponent = bits >> 10 & 31;
    const auto fraction = static_cast<float>(bits & 1023);
    const float size = exponent == 31  ? (fraction == 0.0F ? INFINITY : NAN)
                       : exponent == 0 ? std::ldexp(fraction, -24)
                                       : std::ldexp(1024.0F + fraction, exponent - 25);
    return (bits & 0x8000U) != 0 ? -size : size;
}

/// The nearest number with `digits` binary digits, or with fewer if it is smaller than 2^lowest;
/// of two equally near the even one.
float rounded(float value, int digits, int lowest) {
    int exponent = 0;
    (void)std::frexp(value, &exponent);
    const int last = std::max(exponent, lowest + 1) - digits;
    return static_cast<float>(std::ldexp(std::nearbyint(std::ldexp(double{value}, -last)), last));
}

}  // namespace

float half_to_float(std::uint16_t bits) {
    static const auto values = [] {
        std::array<float, 65536> all{};
        for (unsigned i = 0; i < all.size(); ++i) {
            all[i] = value_of(static_cast<std::uint16_t>(i));
        }
        return all;
    }();
    return values[bits];
}

std::uint16_t float_to_half(float value) {
    const unsigned sign = std::signbit(value) ? 0x8000U : 0;
    if (std::isnan(value)) {
        return 0x7FFF;
    }
    const float size = std::abs(value) < 1e6F ? std::abs(rounded(value, 11, -14)) : INFINITY;
    if (size >= 65536.0F) {
        return static_cast<std::uint16_t>(sign | 0x7C00U);
    }
    if (size < 0x1p-14F) {
        return static_cast<std::uint16_t>(sign | static_cast<unsigned>(std::ldexp(size, 24)));
    }
    int exponent = 0;
    const float fraction = std::frexp(size, &exponent);  // in [1/2, 1)
    const auto stored = static_cast<unsigned>(std::ldexp(fraction, 11)) - 1024;
    return static_cast<std::uint16_t>(sign | static_cast<unsigned>(exponent + 14) << 10 | stored);
}

std::uint16_t float_to_bfloat16(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    if (std::isnan(value)) {
        return 0x7FFF;
    }
    return static_cast<std::uint16_t>((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
}

}  // namespace emulated
