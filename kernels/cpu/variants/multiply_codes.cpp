#include "kernels/cpu/variants/byte_lanes.hpp"
#include "kernels/cpu/variants/kernels.hpp"
#include "kernels/cpu/variants/lookup_terms.hpp"

// Uniform codes times x by multiplication of bytes: x becomes whole numbers of one or three signed
// digits to the base 256, and a product of half a byte of a code with a digit is exact, as are all
// sums of a group of columns. Three digits are as exact as fp32 and less work than turning every
// code into fp32; one digit is x in 8 bits. Codes are taken apart once for all digits and tokens.

namespace lathe::kernels::LATHE_ISA {
namespace {

constexpr std::size_t strip = lookup_strip_rows;
constexpr std::size_t block = lookup_block_bytes;
constexpr std::size_t blocks_per_plane = 4;
/// How far ahead of the block at hand memory is asked for: 4 KiB.
constexpr std::size_t prefetch_bytes = 4096;
/// x times 2^23 or so must be finite and its inverse too; what is smaller than 2^-100 counts as 0.
constexpr std::int32_t least_bits = 27 << 23;
constexpr std::int32_t infinity_bits = 255 << 23;

#if defined(__AVX2__)

// A partial sum is one of the products of a chunk and plane: at most 8 pairs of 2 * 15 * 128, which
// 16 bits hold. A total is of 32 bits.

#if LATHE_LANES == 16
static inline Bytes four_digits(const std::int8_t* digits) {
    std::int32_t four = 0;
    __builtin_memcpy(&four, digits, sizeof four);
    return _mm512_set1_epi32(four);
}
#if defined(__AVX512VNNI__)
/// Sums of 32 bits at once: the same whole numbers.
static inline Bytes add_products(Bytes partial, Bytes codes, Bytes digits) {
    return _mm512_dpbusd_epi32(partial, codes, digits);
}
template <unsigned shift>
static inline Bytes add_partial(Bytes total, Bytes partial) {
    return _mm512_add_epi32(total, _mm512_maskz_slli_epi32(__mmask16{0xFFFF}, partial, shift));
}
#else
static inline Bytes add_products(Bytes partial, Bytes codes, Bytes digits) {
    return _mm512_add_epi16(partial, _mm512_maddubs_epi16(codes, digits));
}
template <unsigned shift>
static inline Bytes add_partial(Bytes total, Bytes partial) {
    return _mm512_add_epi32(total, _mm512_madd_epi16(partial, _mm512_set1_epi16(1 << shift)));
}
#endif
#else
static inline Bytes four_digits(const std::int8_t* digits) {
    std::int32_t four = 0;
    __builtin_memcpy(&four, digits, sizeof four);
    return _mm256_set1_epi32(four);
}
static inline Bytes add_products(Bytes partial, Bytes codes, Bytes digits) {
    return _mm256_add_epi16(partial, _mm256_maddubs_epi16(codes, digits));
}
template <unsigned shift>
static inline Bytes add_partial(Bytes total, Bytes partial) {
    return _mm256_add_epi32(total, _mm256_madd_epi16(partial, _mm256_set1_epi16(1 << shift)));
}
#endif

/// The block of four columns in its low and four in its upper halves.
template <std::size_t n>
static inline void multiply_block(const std::byte* codes, const std::int8_t* digits,
                                  Bytes (&partial)[n]) {
    __builtin_prefetch(codes + prefetch_bytes);
    const Bytes v = load_bytes(codes);
    const Bytes low = low_nibbles(v);
    const Bytes upper = upper_nibbles(v);
#pragma GCC unroll 8
    for (std::size_t i = 0; i < n; ++i) {
        const std::int8_t* own = digits + i * lookup_chunk;
        partial[i] = add_products(partial[i], low, four_digits(own));
        partial[i] = add_products(partial[i], upper, four_digits(own + 4));
    }
}

template <std::size_t n, unsigned shift>
static inline void multiply_plane(const std::byte* codes, const std::int8_t* digits,
                                  Bytes (&totals)[n]) {
    Bytes partial[n];
#pragma GCC unroll 8
    for (std::size_t i = 0; i < n; ++i) {
        partial[i] = no_bytes();
    }
#pragma GCC unroll 4
    for (std::size_t k = 0; k < blocks_per_plane; ++k) {
        multiply_block<n>(codes + k * block, digits + 8 * k, partial);
    }
#pragma GCC unroll 8
    for (std::size_t i = 0; i < n; ++i) {
        totals[i] = add_partial<shift>(totals[i], partial[i]);
    }
}

/// Of `lanes` rows of a strip, beginning with row `first` of it.
template <std::size_t n_planes, std::size_t n>
static inline void multiply_rows(const std::byte* codes, std::size_t first, std::size_t n_chunks,
                                 const std::int8_t* digits, std::size_t digit_step,
                                 Ints (&sums)[n]) {
    Bytes totals[n];
#pragma GCC unroll 8
    for (std::size_t i = 0; i < n; ++i) {
        totals[i] = no_bytes();
    }
    codes += 4 * first;
    for (std::size_t c = 0; c < n_chunks; ++c) {
        multiply_plane<n, 0>(codes, digits, totals);
        if constexpr (n_planes == 8) {
            multiply_plane<n, 4>(codes + blocks_per_plane * block, digits, totals);
        }
        codes += n_planes * block;
        digits += digit_step;
    }
#pragma GCC unroll 8
    for (std::size_t i = 0; i < n; ++i) {
        sums[i] = reinterpret_cast<Ints>(totals[i]);
    }
}

#else

template <std::size_t n_planes, std::size_t n>
static inline void multiply_rows(const std::byte* codes, std::size_t first, std::size_t n_chunks,
                                 const std::int8_t* digits, std::size_t digit_step,
                                 Ints (&sums)[n]) {
    for (Ints& sum : sums) {
        sum = Ints{};
    }
    for (std::size_t at = 0; at < n_chunks * n_planes; ++at) {
        const auto* own = reinterpret_cast<const std::uint8_t*>(codes + at * block) + 4 * first;
        const std::int32_t weight = at / blocks_per_plane % (n_planes / 4) == 0 ? 1 : 16;
        const std::int8_t* eight = digits + at / n_planes * digit_step + at % blocks_per_plane * 8;
        for (std::size_t i = 0; i < n; ++i, eight += lookup_chunk) {
            for (std::size_t r = 0; r < lanes; ++r) {
                std::int32_t sum = 0;
                for (std::size_t b = 0; b < 4; ++b) {
                    sum += (own[4 * r + b] & 15) * eight[b] + (own[4 * r + b] >> 4) * eight[4 + b];
                }
                sums[i][r] += weight * sum;
            }
        }
    }
}

#endif

/// y[r] += scale * (sum of (code - middle) * x + offset * sum of x). Only codes about their middle
/// are multiplied with x as it is rounded: a large offset does not make the error larger.
template <std::size_t n_planes, std::size_t n_tokens, std::size_t n_digits>
void multiply_tile(const LookupGroup& group, const DigitVectors& x, std::size_t token, float* y,
                   std::size_t y_stride) {
    constexpr float middle = 0.5F * static_cast<float>((1U << n_planes) - 1U);
    const std::size_t strip_bytes = group.n_chunks * n_planes * block;
    const std::int8_t* digits = x.digits + token * n_digits * lookup_chunk;
    const std::size_t digit_step = x.n_tokens * n_digits * lookup_chunk;
    for (std::size_t row = 0; row < lookup_tile_rows; row += lanes) {
        Ints sums[n_tokens * n_digits];
        multiply_rows<n_planes>(group.planes + row / strip * strip_bytes, row % strip,
                                group.n_chunks, digits, digit_step, sums);
        const std::uint16_t* terms = group.terms + row;
        const Floats scale = load_halves(terms);
        const Floats offset = group.has_offset ? load_halves(terms + lookup_tile_rows)
                                               : broadcast(group.usual_offset);
#pragma GCC unroll 8
        for (std::size_t t = 0; t < n_tokens; ++t) {
            Floats total{};
            for (std::size_t d = n_digits; d-- > 0;) {
                const std::size_t i = t * n_digits + d;
                total = total * 256.0F + (__builtin_convertvector(sums[i], Floats) -
                                          broadcast(middle) * x.digit_sums[token * n_digits + i]);
            }
            float* to = y + (token + t) * y_stride + row;
            store(to,
                  load(to) + scale * (total * x.scales[token + t] + offset * x.sums[token + t]));
        }
    }
}

using MultiplyTile = void (*)(const LookupGroup&, const DigitVectors&, std::size_t, float*,
                              std::size_t);

#if LATHE_LANES == 8
// As many sums as registers have room for.
template <std::size_t n_planes>
constexpr MultiplyTile coarse_tiles[] = {
    multiply_tile<n_planes, 1, 1>, multiply_tile<n_planes, 2, 1>, multiply_tile<n_planes, 3, 1>,
    multiply_tile<n_planes, 4, 1>};
template <std::size_t n_planes>
constexpr MultiplyTile exact_tiles[] = {multiply_tile<n_planes, 1, 3>};
#else
template <std::size_t n_planes>
constexpr MultiplyTile coarse_tiles[] = {
    multiply_tile<n_planes, 1, 1>, multiply_tile<n_planes, 2, 1>, multiply_tile<n_planes, 3, 1>,
    multiply_tile<n_planes, 4, 1>, multiply_tile<n_planes, 5, 1>, multiply_tile<n_planes, 6, 1>,
    multiply_tile<n_planes, 7, 1>, multiply_tile<n_planes, 8, 1>};
template <std::size_t n_planes>
constexpr MultiplyTile exact_tiles[] = {multiply_tile<n_planes, 1, 3>,
                                        multiply_tile<n_planes, 2, 3>};
#endif

template <std::size_t most>
void multiply_in_parts(const MultiplyTile (&tiles)[most], const LookupGroup& group,
                       const DigitVectors& x, float* y, std::size_t y_stride) {
    for (std::size_t t = 0; t < x.n_tokens; t += most) {
        const std::size_t n = x.n_tokens - t < most ? x.n_tokens - t : most;
        tiles[n - 1](group, x, t, y, y_stride);
    }
}

template <std::size_t n_planes>
void multiply_group(const LookupGroup& group, const DigitVectors& x, float* y,
                    std::size_t y_stride) {
    if (x.n_digits == 1) {
        multiply_in_parts(coarse_tiles<n_planes>, group, x, y, y_stride);
    } else {
        multiply_in_parts(exact_tiles<n_planes>, group, x, y, y_stride);
    }
}

template <std::size_t n_digits>
void write_digits(const float* x, float inverse, std::size_t n_chunks, std::size_t step,
                  std::int8_t* digits, float* sums) {
    for (std::size_t c = 0; c < n_chunks; ++c) {
        std::int32_t rest[lookup_chunk];
        for (std::size_t j = 0; j < lookup_chunk; ++j) {
            const float value = x[c * lookup_chunk + j] * inverse;
            rest[j] = static_cast<std::int32_t>(value + (value < 0.0F ? -0.5F : 0.5F));
        }
        for (std::size_t d = 0; d < n_digits; ++d) {
            std::int8_t* own = digits + c * step + d * lookup_chunk;
            std::int32_t sum = 0;
            for (std::size_t j = 0; j < lookup_chunk; ++j) {
                const std::int32_t digit = ((rest[j] + 128) & 255) - 128;
                own[j] = static_cast<std::int8_t>(digit);
                sum += digit;
                rest[j] = (rest[j] - digit) >> 8;
            }
            sums[d] += static_cast<float>(sum);
        }
    }
}

}  // namespace

float build_digits(const float* x, std::size_t n_chunks, std::size_t n_digits, std::size_t step,
                   std::int8_t* digits, float* sums) {
    // As bits, so that the largest is also found among what is no number.
    std::int32_t largest_bits = 0;
    for (std::size_t j = 0; j < n_chunks * lookup_chunk; ++j) {
        std::int32_t bits = 0;
        __builtin_memcpy(&bits, x + j, sizeof bits);
        bits &= 0x7FFFFFFF;
        largest_bits = bits > largest_bits ? bits : largest_bits;
    }
    float largest = 0.0F;
    __builtin_memcpy(&largest, &largest_bits, sizeof largest);
    for (std::size_t d = 0; d < n_digits; ++d) {
        sums[d] = 0.0F;
    }
    if (largest_bits < least_bits || largest_bits >= infinity_bits) {
        for (std::size_t c = 0; c < n_chunks; ++c) {
            for (std::size_t j = 0; j < n_digits * lookup_chunk; ++j) {
                digits[c * step + j] = 0;
            }
        }
        // 0, or what makes 0 times it not a number.
        return largest_bits < least_bits ? 0.0F : largest;
    }
    const float most = n_digits == 1 ? 127.0F : 127.0F * 65536.0F;
    if (n_digits == 1) {
        write_digits<1>(x, most / largest, n_chunks, step, digits, sums);
    } else {
        write_digits<3>(x, most / largest, n_chunks, step, digits, sums);
    }
    return largest / most;
}

void multiply_codes(const LookupGroup& group, const DigitVectors& x, float* y,
                    std::size_t y_stride) {
    if (group.n_planes == 8) {
        multiply_group<8>(group, x, y, y_stride);
    } else {
        multiply_group<4>(group, x, y, y_stride);
    }
}

}  // namespace lathe::kernels::LATHE_ISA
