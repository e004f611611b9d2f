#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "kernels/cpu/variants/kernels.hpp"
#include "kernels/cpu/variants/lookup_terms.hpp"

// N:M sparse weights times x: rows stand side by side in a register, and the elements of x that
// their stored values belong to are picked out of a window of columns by a permutation.

namespace lathe::kernels::LATHE_ISA {
namespace {

constexpr std::size_t strip = lookup_strip_rows;
constexpr std::size_t octet = 8;
/// How far ahead of the octet at hand memory is asked for: 4 KiB.
constexpr std::size_t prefetch_bytes = 4096;

typedef std::uint8_t StoredBytes __attribute__((vector_size(lanes), aligned(1), may_alias));
typedef std::int8_t StoredSigned __attribute__((vector_size(lanes), aligned(1), may_alias));
typedef Ints StoredInts __attribute__((aligned(4), may_alias));

static inline Ints load_words(const std::byte* p) {
    return *reinterpret_cast<const StoredInts*>(p);
}
static inline Ints load_pairs(const std::byte* p) {
    return __builtin_convertvector(*reinterpret_cast<const StoredHalves*>(p), Ints);
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

/// The values of an octet in `lanes` rows, one after another.
template <KeptValues kind>
struct Values {
    const std::byte* at;
    Ints word{};

    Values(const std::byte* begin, std::size_t row) {
        constexpr std::size_t element = kind == KeptValues::f32     ? 4
                                        : kind == KeptValues::bits8 ? 1
                                                                    : 2;
        at = begin + element * row;
        if constexpr (kind == KeptValues::bits4) {
            word = load_words(begin + 4 * row);
        }
    }
    Floats next() {
        if constexpr (kind == KeptValues::f32) {
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
            const Ints value =
                __builtin_convertvector(*reinterpret_cast<const StoredSigned*>(at), Ints);
            at += strip;
            return __builtin_convertvector(value, Floats);
        } else {
            const Ints value = (word << 28) >> 28;
            word >>= 4;
            return __builtin_convertvector(value, Floats);
        }
    }
};

template <KeptValues value_kind, KeptPlaces place_kind, std::size_t n_tokens>
void multiply_tile(const KeptGroup& group, const float* x, std::size_t x_stride, float* y,
                   std::size_t y_stride) {
    const KeptLayout& layout = *group.layout;
    const std::size_t octet_bytes = layout.place_bytes + layout.value_bytes;
    const std::size_t strip_bytes = group.n_sections * layout.section_octets * octet_bytes;
    for (std::size_t row = 0; row < lookup_tile_rows; row += lanes) {
        const std::byte* at = group.octets + row / strip * strip_bytes;
        // Two sums each: one would wait for the addition before.
        Floats sums[n_tokens][2] = {};
        for (std::size_t s = 0; s < group.n_sections; ++s) {
            const float* own = x + s * layout.section_cols;
            for (std::size_t o = 0; o < layout.section_octets; ++o, at += octet_bytes) {
                Places<place_kind> places(at, row % strip);
                Values<value_kind> values(at + layout.place_bytes, row % strip);
                for (std::size_t line = 0; line < octet_bytes; line += 64) {
                    __builtin_prefetch(at + prefetch_bytes + line);
                }
#pragma GCC unroll 8
                for (std::size_t i = 0; i < octet; ++i) {
                    const Ints index = places.next();
                    const Floats value = values.next();
                    const float* window = own + layout.windows[i];
#pragma GCC unroll 4
                    for (std::size_t t = 0; t < n_tokens; ++t) {
                        sums[t][i % 2] +=
                            value * Places<place_kind>::pick(window + t * x_stride, index);
                    }
                }
            }
        }
        const Floats scale =
            group.scales == nullptr ? broadcast(1.0F) : load_halves(group.scales + row);
        for (std::size_t t = 0; t < n_tokens; ++t) {
            float* to = y + t * y_stride + row;
            store(to, load(to) + scale * (sums[t][0] + sums[t][1]));
        }
    }
}

using MultiplyTile = void (*)(const KeptGroup&, const float*, std::size_t, float*, std::size_t);
constexpr std::size_t most_tokens = 4;

template <KeptValues value_kind, KeptPlaces place_kind>
MultiplyTile tile_for(std::size_t n_tokens) {
    constexpr MultiplyTile table[most_tokens] = {
        multiply_tile<value_kind, place_kind, 1>, multiply_tile<value_kind, place_kind, 2>,
        multiply_tile<value_kind, place_kind, 3>, multiply_tile<value_kind, place_kind, 4>};
    return table[n_tokens - 1];
}

template <KeptValues value_kind>
MultiplyTile tile_for(KeptPlaces places, std::size_t n_tokens) {
    switch (places) {
        case KeptPlaces::bits2:
            return tile_for<value_kind, KeptPlaces::bits2>(n_tokens);
        case KeptPlaces::bits4:
            return tile_for<value_kind, KeptPlaces::bits4>(n_tokens);
        case KeptPlaces::bits8:
            return tile_for<value_kind, KeptPlaces::bits8>(n_tokens);
    }
    return nullptr;
}

MultiplyTile tile_for(const KeptLayout& layout, std::size_t n_tokens) {
    switch (layout.values) {
        case KeptValues::f32:
            return tile_for<KeptValues::f32>(layout.places, n_tokens);
        case KeptValues::f16:
            return tile_for<KeptValues::f16>(layout.places, n_tokens);
        case KeptValues::bf16:
            return tile_for<KeptValues::bf16>(layout.places, n_tokens);
        case KeptValues::bits4:
            return tile_for<KeptValues::bits4>(layout.places, n_tokens);
        case KeptValues::bits8:
            return tile_for<KeptValues::bits8>(layout.places, n_tokens);
    }
    return nullptr;
}

}  // namespace

void multiply_kept(const KeptGroup& group, const float* x, std::size_t x_stride,
                   std::size_t n_tokens, float* y, std::size_t y_stride) {
    for (std::size_t t = 0; t < n_tokens; t += most_tokens) {
        const std::size_t n = n_tokens - t < most_tokens ? n_tokens - t : most_tokens;
        tile_for(*group.layout, n)(group, x + t * x_stride, x_stride, y + t * y_stride, y_stride);
    }
}

}  // namespace lathe::kernels::LATHE_ISA
