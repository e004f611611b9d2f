#pragma once

#include <cstdint>

#include "kernels/cpu/variants/byte_lanes.hpp"

// Registers of bytes as whole numbers of 32 bits, for sums of products of bytes.

#if defined(__AVX2__)

namespace lathe::kernels::LATHE_ISA {

#if LATHE_LANES == 16
// With masks that are all ones, because GCC 12 warns of its own header without.
constexpr __mmask16 all_ints = 0xFFFF;
static inline Bytes broadcast(std::int32_t x) {
    return _mm512_set1_epi32(x);
}
static inline Bytes widen(const std::int8_t* p) {
    return _mm512_maskz_cvtepi8_epi32(all_ints,
                                      _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
static inline Bytes aligned(Bytes sum, Bytes bits, Bytes down) {
    return _mm512_maskz_srav_epi32(all_ints, _mm512_maskz_sllv_epi32(all_ints, sum, bits), down);
}
static inline Bytes add(Bytes a, Bytes b) {
    return _mm512_add_epi32(a, b);
}
static inline void store(std::int32_t* p, Bytes x) {
    _mm512_storeu_si512(p, x);
}
#else
static inline Bytes broadcast(std::int32_t x) {
    return _mm256_set1_epi32(x);
}
static inline Bytes widen(const std::int8_t* p) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
static inline Bytes aligned(Bytes sum, Bytes bits, Bytes down) {
    return _mm256_srav_epi32(_mm256_sllv_epi32(sum, bits), down);
}
static inline Bytes add(Bytes a, Bytes b) {
    return _mm256_add_epi32(a, b);
}
static inline void store(std::int32_t* p, Bytes x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x);
}
#endif

/// Adds the sum of a piece to `to`, aligned as IntegerPanel says; that of the first is written.
static inline void put_aligned(Bytes sum, Bytes bits, Bytes down, bool is_first, std::int32_t* to) {
    const Bytes own = aligned(sum, bits, down);
    store(to, is_first ? own : add(own, load_bytes(to)));
}

}  // namespace lathe::kernels::LATHE_ISA

#endif
