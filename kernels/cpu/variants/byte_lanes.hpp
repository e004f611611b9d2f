#pragma once

// A register of bytes, for the kernels that read codes a byte or half of one at a time. Like
// simd.hpp; only AVX2 and AVX-512 have it.

#if defined(__AVX2__)

#include <immintrin.h>

namespace lathe::kernels::LATHE_ISA {

#if LATHE_LANES == 16
typedef __m512i Bytes;
static inline Bytes load_bytes(const void* p) {
    return _mm512_loadu_si512(p);
}
static inline Bytes no_bytes() {
    return _mm512_setzero_si512();
}
static inline Bytes low_nibbles(Bytes v) {
    return _mm512_and_si512(v, _mm512_set1_epi8(15));
}
static inline Bytes upper_nibbles(Bytes v) {
    // With a mask that is all ones, because GCC 12 warns of its own header without.
    return low_nibbles(_mm512_maskz_srli_epi16(~__mmask32{0}, v, 4));
}
#else
typedef __m256i Bytes;
static inline Bytes load_bytes(const void* p) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
static inline Bytes no_bytes() {
    return _mm256_setzero_si256();
}
static inline Bytes low_nibbles(Bytes v) {
    return _mm256_and_si256(v, _mm256_set1_epi8(15));
}
static inline Bytes upper_nibbles(Bytes v) {
    return low_nibbles(_mm256_srli_epi16(v, 4));
}
#endif

}  // namespace lathe::kernels::LATHE_ISA

#endif
