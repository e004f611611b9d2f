#pragma once

// CUDA's type of fp16 numbers, and the functions on it that kernels/cuda calls. A sum of two fp16
// numbers in fp32 is exact enough to be rounded once more without an error.

#include <cstdint>

#include "cuda_runtime.h"

namespace emulated {
[[nodiscard]] float half_to_float(std::uint16_t bits);
[[nodiscard]] std::uint16_t float_to_half(float value);
[[nodiscard]] std::uint16_t float_to_bfloat16(float value);
}  // namespace emulated

struct __half {
    std::uint16_t bits;
    operator float() const { return emulated::half_to_float(bits); }
};
struct alignas(4) __half2 {
    __half x, y;
};

inline float __half2float(__half value) {
    return value;
}
inline __half __float2half_rn(float value) {
    return {emulated::float_to_half(value)};
}
inline __half2 __float2half2_rn(float value) {
    return {__float2half_rn(value), __float2half_rn(value)};
}
inline float2 __half22float2(__half2 a) {
    return {a.x, a.y};
}
inline __half2 __low2half2(__half2 a) {
    return {a.x, a.x};
}
inline __half2 __high2half2(__half2 a) {
    return {a.y, a.y};
}
inline __half2 __hadd2(__half2 a, __half2 b) {
    return {__float2half_rn(float{a.x} + float{b.x}), __float2half_rn(float{a.y} + float{b.y})};
}
inline __half2 __hsub2(__half2 a, __half2 b) {
    return {__float2half_rn(float{a.x} - float{b.x}), __float2half_rn(float{a.y} - float{b.y})};
}
