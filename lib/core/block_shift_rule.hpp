#pragma once

#include <algorithm>
#include <cmath>

namespace lathe {

/// Shifts of blocks that are stored: -127 to 127.
inline constexpr int smallest_shift = -127;
inline constexpr int largest_shift = 127;

/// The largest shift, within their range, at which `largest` > 0 rounds (half to even) to at most
/// 2^(num_bits-1) - 1. @pre  finite, num_bits 2..16
[[nodiscard]] inline int fitting_shift(float largest, unsigned num_bits) {
    // largest * 2^shift lies in [2^(num_bits-2), 2^(num_bits-1)), so only its rounding may reach
    // beyond the largest number.
    int exponent = 0;
    std::frexp(largest, &exponent);
    const int shift = static_cast<int>(num_bits) - 1 - exponent;
    const double rounded = std::nearbyint(std::ldexp(static_cast<double>(largest), shift));
    const auto highest = static_cast<double>((1U << (num_bits - 1)) - 1U);
    return std::clamp(rounded > highest ? shift - 1 : shift, smallest_shift, largest_shift);
}

}  // namespace lathe
