#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "kernels/cpu/variants/kernels.hpp"
#include "kernels/cpu/variants/lookup_terms.hpp"

// Binary-coded weights times x by table lookup: of every four columns x makes a table of the 16
// sums that four signs can make of it, and a row's four bits say which one it wants. Source: Park
// et al. 2022 (LUT-GEMM), arXiv:2206.09557; tables of 16 fp32 sums because that is one register of
// AVX-512, in which a permutation looks up 16 rows at once. Sums of x are exact to fp32.

namespace lathe::kernels::LATHE_ISA {
namespace {

constexpr std::size_t strip = lookup_strip_rows;
constexpr std::size_t tables_per_chunk = lookup_chunk / 4;
constexpr std::size_t table_size = 16;
/// How far ahead of the words at hand memory is asked for theirs: 4 KiB.
constexpr std::size_t prefetch_words = 1024;

/// Of input b in entry c of a table.
constexpr float signs[4][table_size] = {
    {-1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1},
    {-1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1},
    {-1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1},
    {-1, -1, -1, -1, -1, -1, -1, -1, 1, 1, 1, 1, 1, 1, 1, 1},
};

#if LATHE_LANES == 16 && defined(__AVX512F__)

typedef std::uint32_t Words __attribute__((vector_size(64)));
typedef std::uint32_t StoredWords __attribute__((vector_size(64), aligned(4), may_alias));

/// Adds to sums[p] [16 rows] what the planes of one chunk pick from its tables.
template <std::size_t n_planes>
static inline void look_up_chunk(const std::uint32_t* planes, const float* tables,
                                 __m512 (&sums)[n_planes]) {
    __m512 table[tables_per_chunk];
#pragma GCC unroll 8
    for (std::size_t i = 0; i < tables_per_chunk; ++i) {
        table[i] = _mm512_loadu_ps(tables + i * table_size);
    }
#pragma GCC unroll 8
    for (std::size_t p = 0; p < n_planes; ++p) {
        // A tile is one stream, but the processor's own prefetching ends with each page.
        __builtin_prefetch(planes + p * strip + prefetch_words);
        // The permutation reads the lowest four bits of each word.
        Words word = *reinterpret_cast<const StoredWords*>(planes + p * strip);
        __m512 found[tables_per_chunk];
#pragma GCC unroll 8
        for (std::size_t i = 0; i < tables_per_chunk; ++i) {
            // With a mask that is all ones, because GCC 12 warns of its own header without.
            found[i] =
                _mm512_maskz_permutexvar_ps(0xFFFF, reinterpret_cast<__m512i>(word), table[i]);
            word >>= 4;
        }
        const __m512 low = (found[0] + found[1]) + (found[2] + found[3]);
        const __m512 high = (found[4] + found[5]) + (found[6] + found[7]);
        sums[p] += low + high;
    }
}

template <std::size_t n_planes>
static inline void look_up_strip(const std::uint32_t* planes, std::size_t n_chunks,
                                 const float* tables, float (*sums)[strip]) {
    __m512 totals[n_planes];
    for (std::size_t p = 0; p < n_planes; ++p) {
        totals[p] = _mm512_setzero_ps();
    }
    for (std::size_t c = 0; c < n_chunks; ++c) {
        look_up_chunk<n_planes>(planes + c * n_planes * strip,
                                tables + c * tables_per_chunk * table_size, totals);
    }
    for (std::size_t p = 0; p < n_planes; ++p) {
        _mm512_storeu_ps(sums[p], totals[p]);
    }
}

#elif LATHE_LANES == 8 && defined(__AVX2__)

/// Eight rows: a permutation knows eight entries, so there are two and the fourth bit chooses.
static inline __m256 look_up_word(__m256i word, const float* tables) {
    __m256 found[tables_per_chunk];
#pragma GCC unroll 8
    for (std::size_t i = 0; i < tables_per_chunk; ++i) {
        const float* table = tables + i * table_size;
        const __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), word);
        const __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table + 8), word);
        const __m256 upper = _mm256_castsi256_ps(_mm256_slli_epi32(word, 28));
        found[i] = _mm256_blendv_ps(low, high, upper);
        word = _mm256_srli_epi32(word, 4);
    }
    return ((found[0] + found[1]) + (found[2] + found[3])) +
           ((found[4] + found[5]) + (found[6] + found[7]));
}

template <std::size_t n_planes>
static inline void look_up_strip(const std::uint32_t* planes, std::size_t n_chunks,
                                 const float* tables, float (*sums)[strip]) {
    for (std::size_t half = 0; half < strip; half += 8) {
        __m256 totals[n_planes];
        for (std::size_t p = 0; p < n_planes; ++p) {
            totals[p] = _mm256_setzero_ps();
        }
        for (std::size_t c = 0; c < n_chunks; ++c) {
#pragma GCC unroll 8
            for (std::size_t p = 0; p < n_planes; ++p) {
                const std::uint32_t* words = planes + (c * n_planes + p) * strip + half;
                __builtin_prefetch(words + prefetch_words);
                const __m256i word = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words));
                totals[p] += look_up_word(word, tables + c * tables_per_chunk * table_size);
            }
        }
        for (std::size_t p = 0; p < n_planes; ++p) {
            _mm256_storeu_ps(sums[p] + half, totals[p]);
        }
    }
}

#else

template <std::size_t n_planes>
static inline void look_up_strip(const std::uint32_t* planes, std::size_t n_chunks,
                                 const float* tables, float (*sums)[strip]) {
    for (std::size_t p = 0; p < n_planes; ++p) {
        for (std::size_t r = 0; r < strip; ++r) {
            sums[p][r] = 0.0F;
        }
        for (std::size_t c = 0; c < n_chunks; ++c) {
            const std::uint32_t* words = planes + (c * n_planes + p) * strip;
            const float* table = tables + c * tables_per_chunk * table_size;
            for (std::size_t r = 0; r < strip; ++r) {
                float sum = 0.0F;
                for (std::size_t i = 0; i < tables_per_chunk; ++i) {
                    sum += table[i * table_size + (words[r] >> (4 * i) & 15U)];
                }
                sums[p][r] += sum;
            }
        }
    }
}

#endif

template <std::size_t n_planes>
void look_up(const LookupGroup& group, const float* tables, float sum, float* y) {
    // A register that crosses cache lines would wait for both before it is read again.
    alignas(64) float sums[n_planes][strip];
    const auto* planes = reinterpret_cast<const std::uint32_t*>(group.planes);
    for (std::size_t first = 0; first < lookup_tile_rows; first += strip) {
        look_up_strip<n_planes>(planes, group.n_chunks, tables, sums);
        add_terms<n_planes>(group, first, sum, sums, y);
        planes += group.n_chunks * n_planes * strip;
    }
}

}  // namespace

void build_tables(const float* x, std::size_t n, float* tables) {
    for (std::size_t i = 0; i < n; ++i) {
        const float* four = x + 4 * i;
        for (std::size_t c = 0; c < table_size; c += lanes) {
            const Floats low = load(signs[0] + c) * four[0] + load(signs[1] + c) * four[1];
            const Floats high = load(signs[2] + c) * four[2] + load(signs[3] + c) * four[3];
            store(tables + i * table_size + c, low + high);
        }
    }
}

void lookup(const LookupGroup& group, const float* tables, float sum, float* y) {
    using LookUp = void (*)(const LookupGroup&, const float*, float, float*);
    constexpr LookUp table[] = {look_up<1>, look_up<2>, look_up<3>, look_up<4>,
                                look_up<5>, look_up<6>, look_up<7>, look_up<8>};
    table[group.n_planes - 1](group, tables, sum, y);
}

}  // namespace lathe::kernels::LATHE_ISA
