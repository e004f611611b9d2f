#include "kernels/cpu/variants/byte_lanes.hpp"
#include "kernels/cpu/variants/kernels.hpp"
#include "kernels/cpu/variants/simd.hpp"

// Products of whole numbers of 8 bits in pieces whose sums are shifted before they are added up.
// Two registers of rows at AVX-512, so that what is read of x serves twice.
// The rows' numbers are stored plus 128, so that an instruction for unsigned times signed bytes has
// its operands; 128 times the sum of a piece of x comes off again. Every sum is exact: a piece of n
// columns is below n * 255 * 127.

namespace lathe::kernels::LATHE_ISA {
namespace {

constexpr std::size_t rows = integer_panel_rows;
constexpr std::size_t group_bytes = 4 * rows;

// Half a register of 32-bit numbers, which becomes one of 64 bits.
constexpr std::size_t half = LATHE_LANES / 2;
typedef std::int32_t HalfInts __attribute__((vector_size(half * 4)));
typedef std::int32_t StoredHalfInts __attribute__((vector_size(half * 4), aligned(4), may_alias));
typedef std::int64_t StoredLongs __attribute__((vector_size(half * 8), aligned(8), may_alias));
typedef std::uint32_t HalfWords __attribute__((vector_size(half * 4)));

static inline HalfInts load_half(const std::int32_t* p) {
    return HalfInts(*reinterpret_cast<const StoredHalfInts*>(p));
}

/// y += (sum - correction) * 2^up, row by row, nothing where `up` is negative. Sums may have gone
/// round: their differences have not.
#if defined(__AVX512F__)
static inline void add_sums(const std::int32_t* sums, std::int32_t correction,
                            const std::int32_t* row_ups, std::int32_t token_up, std::int64_t* y) {
    // Masks that are all ones: GCC 12 warns of its own header without. A shift by a negative number
    // is one by a large one, which gives 0.
    constexpr __mmask8 all = 0xFF;
    for (std::size_t r = 0; r < rows; r += half) {
        const HalfWords difference =
            HalfWords(load_half(sums + r)) - static_cast<std::uint32_t>(correction);
        const HalfInts up = load_half(row_ups + r) + token_up;
        const __m512i shifted =
            _mm512_maskz_sllv_epi64(all, _mm512_maskz_cvtepi32_epi64(all, (__m256i)difference),
                                    _mm512_maskz_cvtepi32_epi64(all, (__m256i)up));
        // Not auto: that would forget that there may be no alignment.
        StoredLongs* to = reinterpret_cast<StoredLongs*>(y + r);  // NOLINT(*-use-auto)
        *to = *to + Longs(shifted);
    }
}
#else
static inline void add_sums(const std::int32_t* sums, std::int32_t correction,
                            const std::int32_t* row_ups, std::int32_t token_up, std::int64_t* y) {
    for (std::size_t r = 0; r < rows; r += half) {
        const HalfWords difference =
            HalfWords(load_half(sums + r)) - static_cast<std::uint32_t>(correction);
        const Longs sum = __builtin_convertvector(HalfInts(difference), Longs);
        const Longs up = __builtin_convertvector(load_half(row_ups + r) + token_up, Longs);
        // Not auto: that would forget that there may be no alignment.
        StoredLongs* to = reinterpret_cast<StoredLongs*>(y + r);  // NOLINT(*-use-auto)
        *to = *to + (up < 0 ? Longs{} : sum << (up & 63));
    }
}
#endif

#if defined(__AVX2__)

#if LATHE_LANES == 16
constexpr std::size_t parts = 2;
// With a mask that is all ones, because GCC 12 warns of its own header without.
constexpr __mmask32 all_words = ~__mmask32{0};
static inline Bytes broadcast_four(const std::int8_t* four) {
    std::int32_t bits = 0;
    __builtin_memcpy(&bits, four, sizeof bits);
    return _mm512_set1_epi32(bits);
}
#if defined(__AVX512VNNI__)
struct Four {
    Bytes all;
};
static inline Four load_four(const std::int8_t* four) {
    return {broadcast_four(four)};
}
static inline Bytes add_products(Bytes sum, Bytes numbers, const Four& x) {
    return _mm512_dpbusd_epi32(sum, numbers, x.all);
}
#else
struct Four {
    Bytes even, odd;
};
static inline Four load_four(const std::int8_t* four) {
    const Bytes all = broadcast_four(four);
    return {_mm512_maskz_srai_epi16(all_words, _mm512_maskz_slli_epi16(all_words, all, 8), 8),
            _mm512_maskz_srai_epi16(all_words, all, 8)};
}
static inline Bytes add_products(Bytes sum, Bytes numbers, const Four& x) {
    const Bytes even = _mm512_and_si512(numbers, _mm512_set1_epi16(255));
    const Bytes odd = _mm512_maskz_srli_epi16(all_words, numbers, 8);
    return _mm512_add_epi32(
        sum, _mm512_add_epi32(_mm512_madd_epi16(even, x.even), _mm512_madd_epi16(odd, x.odd)));
}
#endif
constexpr std::size_t most_tokens = 12;
#else
constexpr std::size_t parts = 4;
struct Four {
    Bytes even, odd;
};
static inline Four load_four(const std::int8_t* four) {
    std::int32_t bits = 0;
    __builtin_memcpy(&bits, four, sizeof bits);
    const Bytes all = _mm256_set1_epi32(bits);
    return {_mm256_srai_epi16(_mm256_slli_epi16(all, 8), 8), _mm256_srai_epi16(all, 8)};
}
static inline Bytes add_products(Bytes sum, Bytes numbers, const Four& x) {
    const Bytes even = _mm256_and_si256(numbers, _mm256_set1_epi16(255));
    const Bytes odd = _mm256_srli_epi16(numbers, 8);
    return _mm256_add_epi32(
        sum, _mm256_add_epi32(_mm256_madd_epi16(even, x.even), _mm256_madd_epi16(odd, x.odd)));
}
constexpr std::size_t most_tokens = 2;
#endif

template <std::size_t n>
void multiply_tokens(const IntegerPanel& panel, std::size_t token, std::int64_t* y,
                     std::size_t y_stride) {
    const std::int8_t* x = panel.x + token * panel.x_stride;
    std::size_t group = 0;
    for (std::size_t piece = 0; piece < panel.n_pieces; ++piece) {
        Bytes sums[n][parts];
#pragma GCC unroll 12
        for (std::size_t t = 0; t < n; ++t) {
#pragma GCC unroll 4
            for (std::size_t p = 0; p < parts; ++p) {
                sums[t][p] = no_bytes();
            }
        }
        for (; group < panel.piece_ends[piece]; ++group) {
            Bytes numbers[parts];
#pragma GCC unroll 4
            for (std::size_t p = 0; p < parts; ++p) {
                numbers[p] =
                    load_bytes(panel.numbers + group * group_bytes + p * (group_bytes / parts));
            }
#pragma GCC unroll 12
            for (std::size_t t = 0; t < n; ++t) {
                const Four four = load_four(x + t * panel.x_stride + 4 * group);
#pragma GCC unroll 4
                for (std::size_t p = 0; p < parts; ++p) {
                    sums[t][p] = add_products(sums[t][p], numbers[p], four);
                }
            }
        }
#pragma GCC unroll 12
        for (std::size_t t = 0; t < n; ++t) {
            const std::size_t at = (token + t) * panel.n_pieces + piece;
            std::int32_t stored[rows];
            __builtin_memcpy(stored, sums[t], sizeof stored);
            add_sums(stored, panel.x_sums[at], panel.row_ups + piece * rows, panel.token_ups[at],
                     y + (token + t) * y_stride);
        }
    }
}

using MultiplyTokens = void (*)(const IntegerPanel&, std::size_t, std::int64_t*, std::size_t);
#if LATHE_LANES == 16
constexpr MultiplyTokens by_tokens[most_tokens] = {
    multiply_tokens<1>, multiply_tokens<2>,  multiply_tokens<3>,  multiply_tokens<4>,
    multiply_tokens<5>, multiply_tokens<6>,  multiply_tokens<7>,  multiply_tokens<8>,
    multiply_tokens<9>, multiply_tokens<10>, multiply_tokens<11>, multiply_tokens<12>};
#else
constexpr MultiplyTokens by_tokens[most_tokens] = {multiply_tokens<1>, multiply_tokens<2>};
#endif

#else

constexpr std::size_t most_tokens = 1;

static void multiply_token(const IntegerPanel& panel, std::size_t token, std::int64_t* y,
                           std::size_t y_stride) {
    const std::int8_t* x = panel.x + token * panel.x_stride;
    std::size_t group = 0;
    for (std::size_t piece = 0; piece < panel.n_pieces; ++piece) {
        std::int32_t sums[rows] = {};
        for (; group < panel.piece_ends[piece]; ++group) {
            const std::uint8_t* numbers = panel.numbers + group * group_bytes;
            const std::int8_t* four = x + 4 * group;
            for (std::size_t r = 0; r < rows; ++r) {
                for (std::size_t b = 0; b < 4; ++b) {
                    sums[r] = static_cast<std::int32_t>(
                        static_cast<std::uint32_t>(sums[r]) +
                        static_cast<std::uint32_t>(numbers[4 * r + b] * four[b]));
                }
            }
        }
        const std::size_t at = token * panel.n_pieces + piece;
        add_sums(sums, panel.x_sums[at], panel.row_ups + piece * rows, panel.token_ups[at],
                 y + token * y_stride);
    }
}

using MultiplyTokens = void (*)(const IntegerPanel&, std::size_t, std::int64_t*, std::size_t);
constexpr MultiplyTokens by_tokens[most_tokens] = {multiply_token};

#endif

}  // namespace

void multiply_blocks(const IntegerPanel& panel, std::int64_t* y, std::size_t y_stride) {
    for (std::size_t t = 0; t < panel.n_tokens; ++t) {
        for (std::size_t r = 0; r < rows; ++r) {
            y[t * y_stride + r] = 0;
        }
    }
    for (std::size_t t = 0; t < panel.n_tokens; t += most_tokens) {
        const std::size_t left = panel.n_tokens - t;
        by_tokens[(left < most_tokens ? left : most_tokens) - 1](panel, t, y, y_stride);
    }
}

}  // namespace lathe::kernels::LATHE_ISA
