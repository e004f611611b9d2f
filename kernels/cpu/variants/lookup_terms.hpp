#pragma once

// What both kinds of tables have in common: the last step of a group. Like simd.hpp.

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "kernels/cpu/variants/kernels.hpp"
#include "kernels/cpu/variants/simd.hpp"

namespace lathe::kernels::LATHE_ISA {

typedef std::uint16_t StoredHalves __attribute__((vector_size(lanes * 2), aligned(2), may_alias));

#if LATHE_LANES == 16 && defined(__AVX512F__)
static inline Floats load_halves(const std::uint16_t* halves) {
    // With a mask that is all ones, because GCC 12 warns of its own header without.
    return _mm512_maskz_cvtph_ps(__mmask16{0xFFFF},
                                 _mm256_loadu_si256(reinterpret_cast<const __m256i*>(halves)));
}
#else
/// Finite fp16 numbers. Their bits, moved to where fp32 has them, are off by 2^112 in the exponent.
static inline Floats load_halves(const std::uint16_t* halves) {
    const Ints bits = __builtin_convertvector(*reinterpret_cast<const StoredHalves*>(halves), Ints);
    const Floats magnitude = reinterpret_cast<Floats>((bits & 0x7FFF) << 13) * 0x1p112F;
    return reinterpret_cast<Floats>(reinterpret_cast<Ints>(magnitude) | ((bits & 0x8000) << 16));
}
#endif

/// y[r] += the planes' sums with their scales, and the offset.
template <std::size_t n_planes>
static inline void add_terms(const LookupGroup& group, std::size_t first, float sum,
                             const float (*sums)[lookup_strip_rows], float* y) {
    const std::uint16_t* terms = group.terms + first;
    const std::size_t n_scales = group.uniform ? 1 : n_planes;
    const std::uint16_t* offsets = terms + n_scales * lookup_tile_rows;
    for (std::size_t r = 0; r < lookup_strip_rows; r += lanes) {
        Floats total =
            (group.has_offset ? load_halves(offsets + r) : broadcast(group.usual_offset)) * sum;
        for (std::size_t p = 0; p < n_planes; ++p) {
            total += (group.uniform ? broadcast(0.5F * static_cast<float>(1U << p))
                                    : load_halves(terms + p * lookup_tile_rows + r)) *
                     load(sums[p] + r);
        }
        const Floats scaled = group.uniform ? load_halves(terms + r) * total : total;
        store(y + first + r, load(y + first + r) + scaled);
    }
}

}  // namespace lathe::kernels::LATHE_ISA
