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

// Tiles, of which SIMDe has none. The numbers of tiles are literals there and arguments here.

struct EmulatedTiles {
    unsigned char rows[8];
    unsigned short row_bytes[8];
    unsigned char bytes[8][16][64];
};
static thread_local EmulatedTiles emulated_tiles;

static inline void _tile_loadconfig(const void* settings) {
    const unsigned char* s = (const unsigned char*)settings;
    for (int i = 0; i < 8; ++i) {
        __builtin_memcpy(&emulated_tiles.row_bytes[i], s + 16 + 2 * i, 2);
        emulated_tiles.rows[i] = s[48 + i];
    }
    __builtin_memset(emulated_tiles.bytes, 0, sizeof emulated_tiles.bytes);
}
static inline void _tile_release() {
    __builtin_memset(&emulated_tiles, 0, sizeof emulated_tiles);
}
static inline void _tile_zero(int tile) {
    __builtin_memset(emulated_tiles.bytes[tile], 0, sizeof emulated_tiles.bytes[tile]);
}
static inline void _tile_loadd(int tile, const void* from, long stride) {
    _tile_zero(tile);
    for (int r = 0; r < emulated_tiles.rows[tile]; ++r) {
        __builtin_memcpy(emulated_tiles.bytes[tile][r], (const char*)from + r * stride,
                         emulated_tiles.row_bytes[tile]);
    }
}
static inline void _tile_stored(int tile, void* to, long stride) {
    for (int r = 0; r < emulated_tiles.rows[tile]; ++r) {
        __builtin_memcpy((char*)to + r * stride, emulated_tiles.bytes[tile][r],
                         emulated_tiles.row_bytes[tile]);
    }
}
// sums[m][n] += a[m][4 k + i] * b[k][4 n + i], a with signs and b without.
static inline void _tile_dpbsud(int sums, int a, int b) {
    for (int m = 0; m < emulated_tiles.rows[sums]; ++m) {
        for (int n = 0; n < emulated_tiles.row_bytes[sums] / 4; ++n) {
            unsigned sum;
            __builtin_memcpy(&sum, emulated_tiles.bytes[sums][m] + 4 * n, 4);
            for (int k = 0; k < emulated_tiles.row_bytes[a] / 4; ++k) {
                for (int i = 0; i < 4; ++i) {
                    sum += (unsigned)((signed char)emulated_tiles.bytes[a][m][4 * k + i] *
                                      emulated_tiles.bytes[b][k][4 * n + i]);
                }
            }
            __builtin_memcpy(emulated_tiles.bytes[sums][m] + 4 * n, &sum, 4);
        }
    }
}
