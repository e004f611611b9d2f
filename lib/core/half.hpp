#pragma once

#include <bit>
#include <cstdint>
#include <span>

#include "lib/core/dtype.hpp"

namespace lathe {

/// Bits of an IEEE binary16 / bfloat16 number. Conversions round to nearest even; NaN stays NaN.
[[nodiscard]] float half_to_float(std::uint16_t bits) noexcept;
[[nodiscard]] std::uint16_t float_to_half(float value) noexcept;

[[nodiscard]] inline float bfloat16_to_float(std::uint16_t bits) noexcept {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}
[[nodiscard]] std::uint16_t float_to_bfloat16(float value) noexcept;

/// Converts `values.size()` elements of floating type `dtype`, packed at `source` (any alignment).
/// @throws DataError  if `dtype` is not a floating type
void to_float(const std::byte* source, DType dtype, std::span<float> values);

/// The inverse: writes `values` as elements of floating type `dtype` at `target`.
/// @throws DataError  if `dtype` is not a floating type
void from_float(std::span<const float> values, DType dtype, std::byte* target);

}  // namespace lathe
