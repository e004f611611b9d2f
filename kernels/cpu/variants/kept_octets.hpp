#pragma once

// What the octets of KeptGroup hold, `lanes` rows at a time. Like simd.hpp.

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "kernels/cpu/variants/kept_group.hpp"
#include "kernels/cpu/variants/lookup_terms.hpp"

namespace lathe::kernels::LATHE_ISA {

constexpr std::size_t strip = lookup_strip_rows;
constexpr std::size_t octet = 8;

typedef std::uint8_t StoredBytes __attribute__((vector_size(lanes), aligned(1), may_alias));
typedef std::int8_t StoredSigned __attribute__((vector_size(lanes), aligned(1), may_alias));
typedef Ints StoredInts __attribute__((aligned(4), may_alias));

static inline Ints load_words(const std::byte* p) {
    return *reinterpret_cast<const StoredInts*>(p);
}
static inline Ints load_pairs(const std::byte* p) {
#if LATHE_LANES == 16 && defined(__AVX512F__)
    // GCC 12 would widen two halves and put them together.
    return reinterpret_cast<Ints>(_mm512_maskz_cvtepu16_epi32(
        __mmask16{0xFFFF}, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
#else
    return __builtin_convertvector(*reinterpret_cast<const StoredHalves*>(p), Ints);
#endif
}

/// Signed bytes.
static inline Ints load_bytes(const std::byte* p) {
#if LATHE_LANES == 16 && defined(__AVX512F__)
    // GCC 12 would take them one by one.
    return reinterpret_cast<Ints>(_mm512_maskz_cvtepi8_epi32(
        __mmask16{0xFFFF}, _mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#elif LATHE_LANES == 8 && defined(__AVX2__)
    return reinterpret_cast<Ints>(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
#else
    return __builtin_convertvector(*reinterpret_cast<const StoredSigned*>(p), Ints);
#endif
}

/// window[index[r]] of four columns; higher bits of an index do not count.
static inline Floats pick_of_4(const float* window, Ints index) {
#if LATHE_LANES == 16 && defined(__AVX512F__)
    // With a mask that is all ones, because GCC 12 warns of its own header without.
    const __m512 table = _mm512_maskz_broadcast_f32x4(__mmask16{0xFFFF}, _mm_loadu_ps(window));
    return _mm512_maskz_permutexvar_ps(__mmask16{0xFFFF}, reinterpret_cast<__m512i>(index), table);
#elif LATHE_LANES == 8 && defined(__AVX2__)
    const __m256 table = _mm256_broadcast_ps(reinterpret_cast<const __m128*>(window));
    return _mm256_permutevar8x32_ps(table, reinterpret_cast<__m256i>(index));
#else
    Floats found;
    for (std::size_t r = 0; r < lanes; ++r) {
        found[r] = window[index[r] & 3];
    }
    return found;
#endif
}

/// The same of sixteen columns.
static inline Floats pick_of_16(const float* window, Ints index) {
#if LATHE_LANES == 16 && defined(__AVX512F__)
    return _mm512_maskz_permutexvar_ps(__mmask16{0xFFFF}, reinterpret_cast<__m512i>(index),
                                       _mm512_loadu_ps(window));
#elif LATHE_LANES == 8 && defined(__AVX2__)
    const auto place = reinterpret_cast<__m256i>(index);
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(_mm256_loadu_ps(window), place),
                            _mm256_permutevar8x32_ps(_mm256_loadu_ps(window + 8), place),
                            _mm256_castsi256_ps(_mm256_slli_epi32(place, 28)));
#else
    Floats found;
    for (std::size_t r = 0; r < lanes; ++r) {
        found[r] = window[index[r] & 15];
    }
    return found;
#endif
}

/// The same of any columns.
static inline Floats pick_of_any(const float* window, Ints index) {
    Floats found;
    for (std::size_t r = 0; r < lanes; ++r) {
        found[r] = window[index[r]];
    }
    return found;
}

/// The places of an octet's values in `lanes` rows, one value after another.
template <KeptPlaces kind>
struct Places {
    const std::byte* at;
    Ints word{};

    Places(const std::byte* octet_begin, std::size_t row) {
        if constexpr (kind == KeptPlaces::bits2) {
            word = load_pairs(octet_begin + 2 * row);
        } else if constexpr (kind == KeptPlaces::bits4) {
            word = load_words(octet_begin + 4 * row);
        }
        at = octet_begin + row;
    }
    Ints next() {
        if constexpr (kind == KeptPlaces::bits8) {
            const Ints index =
                __builtin_convertvector(*reinterpret_cast<const StoredBytes*>(at), Ints);
            at += strip;
            return index;
        } else {
            const Ints index = word;
            word >>= kind == KeptPlaces::bits2 ? 2 : 4;
            return index;
        }
    }
    static Floats pick(const float* window, Ints index) {
        if constexpr (kind == KeptPlaces::bits2) {
            return pick_of_4(window, index);
        } else if constexpr (kind == KeptPlaces::bits4) {
            return pick_of_16(window, index);
        } else {
            return pick_of_any(window, index);
        }
    }
};

/// The terms of a group in `lanes` rows. Of binary codes: the value of code 0, and what each plane
/// adds where its bit is 1.
template <KeptValues kind, std::size_t n_planes = planes_of(kind)>
struct Terms {
    Floats least{};
    Floats step[n_planes];

    Terms(const KeptGroup& group, std::size_t row) {
        const std::uint16_t* own = group.terms + row;
        if (group.layout->has_offset) {
            least = load_halves(own + n_planes * lookup_tile_rows);
        }
        for (std::size_t p = 0; p < n_planes; ++p) {
            const Floats scale = load_halves(own + p * lookup_tile_rows);
            least -= scale;
            step[p] = scale + scale;
        }
    }
    [[nodiscard]] Floats scaled(Floats sum) const { return sum; }
};
/// Of all others: a scale.
template <KeptValues kind>
struct Terms<kind, 0> {
    Floats scale;

    Terms(const KeptGroup& group, std::size_t row)
        : scale(group.terms == nullptr ? broadcast(1.0F) : load_halves(group.terms + row)) {}
    [[nodiscard]] Floats scaled(Floats sum) const { return scale * sum; }
};

/// sum + (bit of the lane's row ? step : 0), for `lanes` rows from `row` on.
static inline Floats add_where(const std::byte* bits, std::size_t row, Floats sum, Floats step) {
#if LATHE_LANES == 16 && defined(__AVX512F__)
    (void)row;
    typedef __mmask16 StoredMask __attribute__((aligned(1), may_alias));
    return _mm512_mask_add_ps(sum, *reinterpret_cast<const StoredMask*>(bits), sum, step);
#else
    std::int32_t word = 0;
    __builtin_memcpy(&word, bits, sizeof word);  // half of it is of no use, but terms follow
    Ints lane_bit{};
    for (std::size_t r = 0; r < lanes; ++r) {
        lane_bit[r] = 1 << r;
    }
    lane_bit <<= static_cast<std::int32_t>(row);
    const Ints set = ((word - Ints{}) & lane_bit) == lane_bit;
    return sum + reinterpret_cast<Floats>(set & reinterpret_cast<Ints>(step));
#endif
}

/// The values of an octet in `lanes` rows, one after another.
template <KeptValues kind>
struct Values {
    const std::byte* at;
    std::size_t first_row;
    const Terms<kind>& terms;
    Ints word{};

    Values(const std::byte* begin, std::size_t row, const Terms<kind>& terms_)
        : at(begin), first_row(row), terms(terms_) {
        constexpr std::size_t element = kind == KeptValues::f32     ? 4
                                        : kind == KeptValues::bits8 ? 1
                                                                    : 2;
        if constexpr (kind == KeptValues::bits4) {
            word = load_words(begin + 4 * row);
        } else if constexpr (planes_of(kind) == 0) {
            at += element * row;
        }
    }
    Floats next() {
        if constexpr (planes_of(kind) > 0) {
            Floats value = terms.least;
#pragma GCC unroll 4
            for (const Floats& step : terms.step) {
                value = add_where(at, first_row, value, step);
                at += 2;
            }
            return value;
        } else if constexpr (kind == KeptValues::f32) {
            const Floats value = load(reinterpret_cast<const float*>(at));
            at += 4 * strip;
            return value;
        } else if constexpr (kind == KeptValues::f16) {
            const Floats value = load_halves(reinterpret_cast<const std::uint16_t*>(at));
            at += 2 * strip;
            return value;
        } else if constexpr (kind == KeptValues::bf16) {
            const Floats value = reinterpret_cast<Floats>(load_pairs(at) << 16);
            at += 2 * strip;
            return value;
        } else if constexpr (kind == KeptValues::bits8) {
            const Ints value = load_bytes(at);
            at += strip;
            return __builtin_convertvector(value, Floats);
        } else {
            const Ints value = (word << 28) >> 28;
            word >>= 4;
            return __builtin_convertvector(value, Floats);
        }
    }
};

}  // namespace lathe::kernels::LATHE_ISA
