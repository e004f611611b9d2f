#pragma once

// CUDA's type of bfloat16 numbers, and the functions on it that kernels/cuda calls.

#include "cuda_fp16.h"

struct __nv_bfloat16 {
    std::uint16_t bits;
    operator float() const { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }
};

inline __nv_bfloat16 __float2bfloat16_rn(float value) {
    return {emulated::float_to_bfloat16(value)};
}
