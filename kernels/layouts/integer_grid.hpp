#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

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

/// The scale of the grid that stands for `scale`.
[[nodiscard]] LATHE_HOST_DEVICE inline float storable_scale(float scale,
                                                            const IntegerGridSettings& settings) {
    return settings.powers_of_two ? next_power(scale) : storable_scale(scale);
}

}  // namespace lathe::kernels
