#include "kernels/cpu/variants/int_lanes.hpp"
#include "kernels/cpu/variants/kernels.hpp"
#include "kernels/cpu/variants/simd.hpp"

// Products of whole numbers of 8 bits in pieces whose sums are aligned before they are added up.
// Two registers of rows at AVX-512, so that what is read of x serves twice.
// The rows' numbers are stored plus 128, so that an instruction for unsigned times signed bytes has
// its operands; a sum starts at what comes off for that, 128 times the sum of the piece of x. It
// may go round on the way, but not at its end.

namespace lathe::kernels::LATHE_ISA {
namespace {

constexpr std::size_t rows = integer_panel_rows;
constexpr std::size_t group_bytes = 4 * rows;

#if defined(__AVX2__)

#if LATHE_LANES == 16
constexpr std::size_t parts = 2;
// With a mask that is all ones, because GCC 12 warns of its own header without.
[[maybe_unused]] constexpr __mmask32 all_words = ~__mmask32{0};
static inline Bytes broadcast_four(const std::int8_t* four) {
    std::int32_t bits = 0;
    __builtin_memcpy(&bits, four, sizeof bits);
    return broadcast(bits);
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

/// Tokens [token, token + n) in one piece, whose groups are [group, end): writes or adds to y.
template <std::size_t n>
inline void multiply_piece(const IntegerPanel& panel, std::size_t piece, std::size_t group,
                           std::size_t token, std::int32_t* y, std::size_t y_stride) {
    const std::int8_t* x = panel.x + token * panel.x_stride;
    Bytes sums[n][parts];
#pragma GCC unroll 12
    for (std::size_t t = 0; t < n; ++t) {
        const Bytes start = broadcast(panel.x_starts[(token + t) * panel.n_pieces + piece]);
#pragma GCC unroll 4
        for (std::size_t p = 0; p < parts; ++p) {
            sums[t][p] = start;
        }
    }
    for (; group < panel.piece_ends[piece]; ++group) {
        Bytes numbers[parts];
#pragma GCC unroll 4
        for (std::size_t p = 0; p < parts; ++p) {
            const std::uint8_t* from =
                panel.numbers + group * group_bytes + p * (group_bytes / parts);
            // The hardware stops at the end of a page, and panels are read once in a while only.
            __builtin_prefetch(from + 32 * group_bytes);
            numbers[p] = load_bytes(from);
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
    const Bytes bits = broadcast(panel.bits);
    const std::int8_t* row_shifts = panel.row_shifts + panel.piece_blocks[piece] * rows;
    const std::int32_t* downs = panel.token_downs + piece * panel.token_stride + token;
#pragma GCC unroll 4
    for (std::size_t p = 0; p < parts; ++p) {
        const Bytes row_down = widen(row_shifts + p * (rows / parts));
#pragma GCC unroll 12
        for (std::size_t t = 0; t < n; ++t) {
            std::int32_t* to = y + (token + t) * y_stride + p * (rows / parts);
            put_aligned(sums[t][p], bits, add(row_down, broadcast(downs[t])), piece == 0, to);
        }
    }
}

template <std::size_t n>
void multiply_tokens(const IntegerPanel& panel, std::size_t token, std::int32_t* y,
                     std::size_t y_stride) {
    std::size_t group = 0;
    for (std::size_t piece = 0; piece < panel.n_pieces; ++piece) {
        multiply_piece<n>(panel, piece, group, token, y, y_stride);
        group = panel.piece_ends[piece];
    }
}

using MultiplyTokens = void (*)(const IntegerPanel&, std::size_t, std::int32_t*, std::size_t);
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

static void multiply_token(const IntegerPanel& panel, std::size_t token, std::int32_t* y,
                           std::size_t y_stride) {
    const std::int8_t* x = panel.x + token * panel.x_stride;
    std::size_t group = 0;
    for (std::size_t piece = 0; piece < panel.n_pieces; ++piece) {
        std::uint32_t sums[rows];
        for (std::size_t r = 0; r < rows; ++r) {
            sums[r] = static_cast<std::uint32_t>(panel.x_starts[token * panel.n_pieces + piece]);
        }
        for (; group < panel.piece_ends[piece]; ++group) {
            const std::uint8_t* numbers = panel.numbers + group * group_bytes;
            const std::int8_t* four = x + 4 * group;
            for (std::size_t r = 0; r < rows; ++r) {
                for (std::size_t b = 0; b < 4; ++b) {
                    sums[r] += static_cast<std::uint32_t>(numbers[4 * r + b] * four[b]);
                }
            }
        }
        const std::int8_t* row_shifts = panel.row_shifts + panel.piece_blocks[piece] * rows;
        const std::int32_t token_down = panel.token_downs[piece * panel.token_stride + token];
        std::int32_t* to = y + token * y_stride;
        for (std::size_t r = 0; r < rows; ++r) {
            const std::int32_t down = row_shifts[r] + token_down;
            const std::int32_t sum =
                static_cast<std::int32_t>(sums[r] << panel.bits) >> (down < 31 ? down : 31);
            to[r] = piece == 0 ? sum : to[r] + sum;
        }
    }
}

using MultiplyTokens = void (*)(const IntegerPanel&, std::size_t, std::int32_t*, std::size_t);
constexpr MultiplyTokens by_tokens[most_tokens] = {multiply_token};

#endif

}  // namespace

void multiply_blocks(const IntegerPanel& panel, std::int32_t* y, std::size_t y_stride) {
    for (std::size_t t = 0; t < panel.n_tokens; t += most_tokens) {
        const std::size_t left = panel.n_tokens - t;
        by_tokens[(left < most_tokens ? left : most_tokens) - 1](panel, t, y, y_stride);
    }
}

}  // namespace lathe::kernels::LATHE_ISA
