#include "kernels/cpu/variants/byte_lanes.hpp"
#include "kernels/cpu/variants/kernels.hpp"
#include "kernels/cpu/variants/lookup_terms.hpp"

// Table lookup with entries of 8 bits: a byte shuffle looks up 16 rows in each 16 bytes of a
// register, four tables at once with AVX-512. Source of the technique: Wei et al. 2024 (T-MAC),
// arXiv:2407.00088. Sums of entries are whole numbers and exact; all that is lost is lost when the
// entries are rounded.

namespace lathe::kernels::LATHE_ISA {
namespace {

constexpr std::size_t strip = lookup_strip_rows;
constexpr std::size_t tables_per_chunk = lookup_chunk / 4;
constexpr std::size_t table_size = 16;
constexpr std::size_t block = lookup_block_bytes;
/// How far ahead of the block at hand memory is asked for: 4 KiB.
constexpr std::size_t prefetch_bytes = 4096;
/// What an entry of 0 is stored as.
constexpr std::int32_t middle = 128;

#if defined(__AVX512VBMI__) && defined(__AVX512VNNI__)

// A permutation of all 64 bytes looks up four tables side by side, and a dot product with ones adds
// up in 32 bits what it found for a row. With the permutation that brings a row's bytes together a
// block takes eight instructions; sums of 16 bits take eleven.

static inline Bytes permuted(Bytes index, Bytes v) {
    // With a mask that is all ones, because GCC 12 warns of its own header without.
    return _mm512_maskz_permutexvar_epi8(~__mmask64{0}, index, v);
}

/// Byte b of row r of a block, stored as b * 16 + r, goes to r * 4 + b.
static inline Bytes by_rows(Bytes v) {
    alignas(64) std::uint8_t from[block];
    for (std::size_t i = 0; i < block; ++i) {
        from[i] = static_cast<std::uint8_t>(i % 4 * strip + i / 4);
    }
    return permuted(load_bytes(from), v);
}

/// sums + the entries that the low halves of 16 x 4 bytes name, byte b in table b.
static inline Bytes add_entries(Bytes sums, Bytes v, Bytes tables) {
    const Bytes own_table = _mm512_set1_epi32(0x30201000);
    // (v & 15) | own_table
    const Bytes index = _mm512_ternarylogic_epi32(v, _mm512_set1_epi8(15), own_table, 0xEA);
    return _mm512_dpbusd_epi32(sums, permuted(index, tables), _mm512_set1_epi8(1));
}

template <std::size_t n_planes>
static inline void look_up_strip(const std::byte* planes, std::size_t n_chunks,
                                 const std::uint8_t* entries, float scale, float (*sums)[strip]) {
    // Two each: one would wait for the sum before.
    Bytes totals[2][n_planes];
    for (std::size_t p = 0; p < n_planes; ++p) {
        totals[0][p] = no_bytes();
        totals[1][p] = no_bytes();
    }
    for (std::size_t c = 0; c < n_chunks; ++c) {
        const Bytes low = load_bytes(entries + c * coarse_table_bytes);
        const Bytes high = load_bytes(entries + c * coarse_table_bytes + coarse_table_bytes / 2);
#pragma GCC unroll 8
        for (std::size_t p = 0; p < n_planes; ++p) {
            const std::byte* codes = planes + (c * n_planes + p) * block;
            __builtin_prefetch(codes + prefetch_bytes);
            const Bytes v = by_rows(load_bytes(codes));
            const Bytes upper = _mm512_maskz_srli_epi16(~__mmask32{0}, v, 4);
            totals[0][p] = add_entries(totals[0][p], v, low);
            totals[1][p] = add_entries(totals[1][p], upper, high);
        }
    }
    const auto bias = static_cast<std::int32_t>(n_chunks * tables_per_chunk) * middle;
    for (std::size_t p = 0; p < n_planes; ++p) {
        const Ints whole =
            reinterpret_cast<Ints>(totals[0][p]) + reinterpret_cast<Ints>(totals[1][p]) - bias;
        store(sums[p], __builtin_convertvector(whole, Floats) * scale);
    }
}

#elif defined(__AVX2__)

// Bytes are added up 16 bits at a time: `raw` holds, modulo 2^16, the sum of the even rows' bytes
// plus 256 times that of the odd rows', `odd` the latter alone. An entry is below 256 and a group
// has at most 16 chunks of 2 entries in each of 4 tables, so sums stay below 2^16.

#if LATHE_LANES == 16
static inline Bytes look_up(Bytes table, Bytes index) {
    return _mm512_maskz_shuffle_epi8(~__mmask64{0}, table, index);
}
static inline Bytes add_pairs(Bytes a, Bytes b) {
    return _mm512_add_epi16(a, b);
}
static inline Bytes upper_of_pairs(Bytes v) {
    return _mm512_maskz_srli_epi16(~__mmask32{0}, v, 8);
}
static inline __m128i sum_of_lanes(Bytes v) {
    const auto words = reinterpret_cast<long long __attribute__((vector_size(64)))>(v);
    const __m256i half = _mm256_add_epi16(
        reinterpret_cast<__m256i>(__builtin_shufflevector(words, words, 0, 1, 2, 3)),
        reinterpret_cast<__m256i>(__builtin_shufflevector(words, words, 4, 5, 6, 7)));
    return _mm_add_epi16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}
#else
static inline Bytes look_up(Bytes table, Bytes index) {
    return _mm256_shuffle_epi8(table, index);
}
static inline Bytes add_pairs(Bytes a, Bytes b) {
    return _mm256_add_epi16(a, b);
}
static inline Bytes upper_of_pairs(Bytes v) {
    return _mm256_srli_epi16(v, 8);
}
static inline __m128i sum_of_lanes(Bytes v) {
    return _mm_add_epi16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}
#endif

constexpr std::size_t parts = block / sizeof(Bytes);

/// Writes scale * (sum - bias) of 16 rows.
static inline void store_sums(Bytes raw, Bytes odd, std::int32_t bias, float scale, float* sums) {
    const __m128i odds = sum_of_lanes(odd);
    const __m128i evens = _mm_sub_epi16(sum_of_lanes(raw), _mm_slli_epi16(odds, 8));
    for (std::size_t half = 0; half < 2; ++half) {
        const __m128i rows =
            half == 0 ? _mm_unpacklo_epi16(evens, odds) : _mm_unpackhi_epi16(evens, odds);
        const __m256i whole =
            _mm256_sub_epi32(_mm256_cvtepu16_epi32(rows), _mm256_set1_epi32(bias));
        _mm256_storeu_ps(sums + 8 * half,
                         _mm256_mul_ps(_mm256_cvtepi32_ps(whole), _mm256_set1_ps(scale)));
    }
}

template <std::size_t n_planes>
static inline void look_up_strip(const std::byte* planes, std::size_t n_chunks,
                                 const std::uint8_t* entries, float scale, float (*sums)[strip]) {
    Bytes raw[n_planes];
    Bytes odd[n_planes];
    for (std::size_t p = 0; p < n_planes; ++p) {
        raw[p] = no_bytes();
        odd[p] = no_bytes();
    }
    for (std::size_t c = 0; c < n_chunks; ++c) {
        for (std::size_t part = 0; part < parts; ++part) {
            const std::uint8_t* own = entries + c * coarse_table_bytes + part * sizeof(Bytes);
            const Bytes low = load_bytes(own);
            const Bytes high = load_bytes(own + coarse_table_bytes / 2);
            const std::byte* codes = planes + c * n_planes * block + part * sizeof(Bytes);
#pragma GCC unroll 8
            for (std::size_t p = 0; p < n_planes; ++p) {
                __builtin_prefetch(codes + p * block + prefetch_bytes);
                const Bytes v = load_bytes(codes + p * block);
                const Bytes first = look_up(low, low_nibbles(v));
                const Bytes second = look_up(high, upper_nibbles(v));
                raw[p] = add_pairs(add_pairs(raw[p], first), second);
                odd[p] =
                    add_pairs(add_pairs(odd[p], upper_of_pairs(first)), upper_of_pairs(second));
            }
        }
    }
    const auto bias = static_cast<std::int32_t>(n_chunks * tables_per_chunk) * middle;
    for (std::size_t p = 0; p < n_planes; ++p) {
        store_sums(raw[p], odd[p], bias, scale, sums[p]);
    }
}

#else

template <std::size_t n_planes>
static inline void look_up_strip(const std::byte* planes, std::size_t n_chunks,
                                 const std::uint8_t* entries, float scale, float (*sums)[strip]) {
    for (std::size_t p = 0; p < n_planes; ++p) {
        std::int32_t totals[strip] = {};
        for (std::size_t c = 0; c < n_chunks; ++c) {
            const auto* codes =
                reinterpret_cast<const std::uint8_t*>(planes + (c * n_planes + p) * block);
            const std::uint8_t* tables = entries + c * coarse_table_bytes;
            for (std::size_t b = 0; b < 4; ++b) {
                for (std::size_t r = 0; r < strip; ++r) {
                    const std::uint8_t code = codes[strip * b + r];
                    totals[r] += tables[b * table_size + (code & 15U)] +
                                 tables[coarse_table_bytes / 2 + b * table_size + (code >> 4)] -
                                 2 * middle;
                }
            }
        }
        for (std::size_t r = 0; r < strip; ++r) {
            sums[p][r] = static_cast<float>(totals[r]) * scale;
        }
    }
}

#endif

template <std::size_t n_planes>
void look_up_tile(const LookupGroup& group, const std::uint8_t* entries, float scale, float sum,
                  float* y) {
    // A register that crosses cache lines would wait for both before it is read again.
    alignas(64) float sums[n_planes][strip];
    const std::byte* planes = group.planes;
    for (std::size_t first = 0; first < lookup_tile_rows; first += strip) {
        look_up_strip<n_planes>(planes, group.n_chunks, entries, scale, sums);
        add_terms<n_planes>(group, first, sum, sums, y);
        planes += group.n_chunks * n_planes * block;
    }
}

static inline float magnitude(float x) {
    return x < 0.0F ? -x : x;
}

}  // namespace

float build_coarse_tables(const float* x, std::size_t n_chunks, std::uint8_t* entries) {
    float largest = 0.0F;
    for (std::size_t i = 0; i < n_chunks * tables_per_chunk; ++i) {
        const float* four = x + 4 * i;
        const float sum =
            (magnitude(four[0]) + magnitude(four[1])) + (magnitude(four[2]) + magnitude(four[3]));
        largest = sum > largest ? sum : largest;
    }
    const float scale = largest / 127.0F;
    const float inverse = largest > 0.0F ? 127.0F / largest : 0.0F;
    float tables[tables_per_chunk * table_size];
    for (std::size_t c = 0; c < n_chunks; ++c) {
        build_tables(x + c * lookup_chunk, tables_per_chunk, tables);
        for (std::size_t i = 0; i < tables_per_chunk; ++i) {
            std::uint8_t* own = entries + c * coarse_table_bytes +
                                i % 2 * (coarse_table_bytes / 2) + i / 2 * table_size;
            for (std::size_t e = 0; e < table_size; ++e) {
                // Above 0, so that cutting off the fraction rounds.
                own[e] = static_cast<std::uint8_t>(
                    static_cast<std::int32_t>(tables[i * table_size + e] * inverse + 128.5F));
            }
        }
    }
    return scale;
}

void lookup_coarse(const LookupGroup& group, const std::uint8_t* entries, float scale, float sum,
                   float* y) {
    using LookUp = void (*)(const LookupGroup&, const std::uint8_t*, float, float, float*);
    constexpr LookUp table[] = {look_up_tile<1>, look_up_tile<2>, look_up_tile<3>, look_up_tile<4>,
                                look_up_tile<5>, look_up_tile<6>, look_up_tile<7>, look_up_tile<8>};
    table[group.n_planes - 1](group, entries, scale, sum, y);
}

}  // namespace lathe::kernels::LATHE_ISA
