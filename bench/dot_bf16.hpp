#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/common/vector_clones.hpp"

namespace lathe {

/// w . x, w in bf16: a product with dense bf16 weights as fast as memory allows, which is what
/// compressed ones are compared with. In 64 partial sums: enough to wait for memory only.
/// @pre  n is a multiple of 64
LATHE_VECTOR_CLONES
static float dot_bf16(const std::uint16_t* w, const float* x, std::size_t n) {
    constexpr std::size_t n_parts = 64;
    float parts[n_parts] = {};
    for (std::size_t j = 0; j + n_parts <= n; j += n_parts) {
        for (std::size_t i = 0; i < n_parts; ++i) {
            const std::uint32_t bits = std::uint32_t{w[j + i]} << 16;
            float value = 0.0F;
            __builtin_memcpy(&value, &bits, sizeof value);
            parts[i] += value * x[j + i];
        }
    }
    float sum = 0.0F;
    for (const float part : parts) {
        sum += part;
    }
    return sum;
}

}  // namespace lathe
