#pragma once

// Stands in for the compiler's header of this name where the sources of kernels/cpu/variants are
// compiled for test with the intrinsics of SIMDe, which are plain C: every instruction set then
// runs on every processor. SIMDE_NO_NATIVE and SIMDE_ENABLE_NATIVE_ALIASES are defined by the
// build, as are the compiler's names of the instruction sets.

#include <simde/simde-f16.h>
#include <simde/x86/avx2.h>
#include <simde/x86/avx512/add.h>
#include <simde/x86/avx512/and.h>
#include <simde/x86/avx512/broadcast.h>
#include <simde/x86/avx512/dpbusd.h>
#include <simde/x86/avx512/loadu.h>
#include <simde/x86/avx512/madd.h>
#include <simde/x86/avx512/maddubs.h>
#include <simde/x86/avx512/mov.h>
#include <simde/x86/avx512/permutexvar.h>
#include <simde/x86/avx512/set1.h>
#include <simde/x86/avx512/setzero.h>
#include <simde/x86/avx512/shuffle.h>
#include <simde/x86/avx512/slli.h>
#include <simde/x86/avx512/srli.h>
#include <simde/x86/avx512/storeu.h>
#include <simde/x86/avx512/ternarylogic.h>

// What SIMDe 0.7.4 does not have.

typedef simde__mmask8 __mmask8;
typedef simde__mmask16 __mmask16;
typedef simde__mmask32 __mmask32;
typedef simde__mmask64 __mmask64;

#ifndef _mm512_maskz_slli_epi32
static inline __m512i _mm512_maskz_slli_epi32(__mmask16 keep, __m512i v, unsigned n) {
    return simde_mm512_maskz_mov_epi32(keep, simde_mm512_slli_epi32(v, n));
}
#endif

#ifndef _mm512_maskz_srli_epi16
static inline __m512i _mm512_maskz_srli_epi16(__mmask32 keep, __m512i v, unsigned n) {
    return simde_mm512_maskz_mov_epi16(keep, simde_mm512_srli_epi16(v, n));
}
#endif

#ifndef _mm512_maskz_sllv_epi32
static inline __m512i _mm512_maskz_sllv_epi32(__mmask16 keep, __m512i v, __m512i counts) {
    typedef int Ints __attribute__((vector_size(64)));
    const Ints shifted = (Ints)v << ((Ints)counts & 31);
    return simde_mm512_maskz_mov_epi32(
        keep, (__m512i)(((Ints)counts >= 0) & ((Ints)counts < 32) ? shifted : (Ints){}));
}
#endif

#ifndef _mm512_maskz_srav_epi32
static inline __m512i _mm512_maskz_srav_epi32(__mmask16 keep, __m512i v, __m512i counts) {
    typedef int Ints __attribute__((vector_size(64)));
    const Ints n = ((Ints)counts >= 0) & ((Ints)counts < 32) ? (Ints)counts : 31 - (Ints){};
    return simde_mm512_maskz_mov_epi32(keep, (__m512i)((Ints)v >> n));
}
#endif

#ifndef _mm512_mask_i32gather_epi32
static inline __m512i _mm512_mask_i32gather_epi32(__m512i other, __mmask16 keep, __m512i places,
                                                  const void* values, int scale) {
    typedef int Ints __attribute__((vector_size(64)));
    Ints found = {};
    for (int i = 0; i < 16; ++i) {
        __builtin_memcpy((char*)&found + 4 * i, (const char*)values + ((Ints)places)[i] * scale, 4);
    }
    return simde_mm512_mask_mov_epi32(other, keep, (__m512i)found);
}
#endif

#ifndef _mm512_maskz_cvtepu16_epi32
static inline __m512i _mm512_maskz_cvtepu16_epi32(__mmask16 keep, __m256i v) {
    typedef unsigned short Words __attribute__((vector_size(32)));
    typedef int Ints __attribute__((vector_size(64)));
    return simde_mm512_maskz_mov_epi32(keep, (__m512i) __builtin_convertvector((Words)v, Ints));
}
#endif

#ifndef _mm512_maskz_cvtepi8_epi32
static inline __m512i _mm512_maskz_cvtepi8_epi32(__mmask16 keep, __m128i v) {
    typedef signed char Bytes __attribute__((vector_size(16)));
    typedef int Ints __attribute__((vector_size(64)));
    return simde_mm512_maskz_mov_epi32(keep, (__m512i) __builtin_convertvector((Bytes)v, Ints));
}
#endif

#ifndef _mm512_maskz_cvtph_ps
static inline __m512 _mm512_maskz_cvtph_ps(__mmask16 keep, __m256i halves) {
    typedef unsigned short Halves __attribute__((vector_size(32)));
    const Halves bits = (Halves)halves;
    __m512 values;
    for (int i = 0; i < 16; ++i) {
        const simde_float16 half = simde_uint16_as_float16(bits[i]);
        values[i] = (keep >> i & 1) != 0 ? simde_float16_to_float32(half) : 0.0F;
    }
    return values;
}
#endif

