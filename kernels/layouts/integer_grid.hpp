#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/contract/backend.hpp"
#include "kernels/layouts/rounded_to_half.hpp"

/// What every backend agrees on about integer grids (kernels/contract/backend.hpp says what they
/// are for).
namespace lathe::kernels {

/// A scale is a positive fp16 number: the smallest (subnormal) and the largest of them.
inline constexpr float smallest_scale = 0x1p-24F;
inline constexpr float largest_scale = 65504.0F;
/// The same for powers of two: far from where products of scales and codes leave fp32.
inline constexpr float smallest_power = 0x1p-100F;
inline constexpr float largest_power = 0x1p100F;

/// The ranges that fit_integer_grid() tries, the largest first: 1.00, 0.98, ... 0.30.
inline constexpr std::size_t n_range_factors = 36;
/// How many of them.
[[nodiscard]] LATHE_HOST_DEVICE constexpr std::size_t n_ranges(
    const IntegerGridSettings& settings) {
    return settings.whole_range ? 1 : n_range_factors;
}
[[nodiscard]] LATHE_HOST_DEVICE constexpr float range_factor(std::size_t i) {
    return static_cast<float>(100 - 2 * static_cast<int>(i)) / 100.0F;
}

/// descend_on_grid() leaves the scales of wider groups alone: the cost of a new scale grows with
/// the width of its group.
inline constexpr std::size_t widest_refitted_group = 512;

/// Codes that a grid uses, both ends included.
struct CodeRange {
    float lowest = 0.0F;
    float highest = 0.0F;
};

[[nodiscard]] LATHE_HOST_DEVICE constexpr CodeRange code_range(
    const IntegerGridSettings& settings) {
    const auto highest = static_cast<float>((1U << settings.num_bits) - 1U);
    return {settings.symmetric ? 1.0F : 0.0F, highest};
}

/// The zero of a symmetric grid, a code.
[[nodiscard]] LATHE_HOST_DEVICE constexpr float symmetric_zero(unsigned num_bits) {
    return static_cast<float>(1U << (num_bits - 1U));
}

/// Codes from the zero to the largest magnitude of a range that a symmetric grid reaches: half a
/// step beyond the largest code is rounded to it. Scales of fp16 reach it with a code.
[[nodiscard]] LATHE_HOST_DEVICE constexpr float symmetric_reach(
    const IntegerGridSettings& settings) {
    const float steps = code_range(settings).highest - symmetric_zero(settings.num_bits);
    return settings.powers_of_two ? steps + 0.5F : steps;
}

/// The fp16 number nearest to a positive scale, kept within the range of fp16.
[[nodiscard]] LATHE_HOST_DEVICE inline float storable_scale(float scale) {
    const float half = rounded_to_half(std::min(scale, float{largest_scale}));
    return std::max(half, float{smallest_scale});
}

/// The least power of two that is not below a positive scale, kept within their range.
[[nodiscard]] LATHE_HOST_DEVICE inline float next_power(float scale) {
    int exponent = 0;
    const float within = std::max(std::min(scale, float{largest_power}), float{smallest_power});
    const float fraction = std::frexp(within, &exponent);
    return std::ldexp(1.0F, fraction == 0.5F ? exponent - 1 : exponent);
}

/// Of fp32 bits that are cut off for numbers of so many significant bits.
[[nodiscard]] LATHE_HOST_DEVICE constexpr int bits_cut_off(unsigned significant) {
    return 24 - static_cast<int>(significant);
}
/// The largest fp16 number of so many significant bits.
[[nodiscard]] LATHE_HOST_DEVICE constexpr float largest_scale_of(unsigned significant) {
    return 65536.0F - static_cast<float>(1U << (16U - significant));
}

/// A scale of fp16 with so many significant bits: the nearest, the even one of two. It is an fp16
/// number still, since a subnormal one is a whole number of their smallest.
[[nodiscard]] LATHE_HOST_DEVICE inline float scale_of_bits(float scale, unsigned significant) {
    const int cut = bits_cut_off(significant);
    std::int32_t bits = 0;
    std::memcpy(&bits, &scale, sizeof bits);
    bits = (bits + (1 << (cut - 1)) - 1 + ((bits >> cut) & 1)) & ~((1 << cut) - 1);
    float rounded = 0.0F;
    std::memcpy(&rounded, &bits, sizeof rounded);
    return std::min(rounded, largest_scale_of(significant));
}

/// The scale of the grid that stands for `scale`.
[[nodiscard]] LATHE_HOST_DEVICE inline float storable_scale(float scale,
                                                            const IntegerGridSettings& settings) {
    if (settings.powers_of_two) {
        return next_power(scale);
    }
    const float half = storable_scale(scale);
    if (settings.float8_scales) {
        const float rounded = scale_of_bits(half, float8_scale_bits);
        return std::max(std::min(rounded, float{largest_float8_scale}),
                        float{smallest_float8_scale});
    }
    return settings.scale_bits == 11 ? half : scale_of_bits(half, settings.scale_bits);
}

}  // namespace lathe::kernels
