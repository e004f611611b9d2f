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
/// As many sums as registers have room for.
constexpr std::size_t vectors_at_once = 8;
static inline Bytes four_digits(const std::int8_t* digits) {
    std::int32_t four = 0;
    __builtin_memcpy(&four, digits, sizeof four);
    return _mm512_set1_epi32(four);
}
static inline void store_bytes(std::int32_t* to, Bytes v) {
    _mm512_storeu_si512(to, v);
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
constexpr std::size_t vectors_at_once = 4;
static inline Bytes four_digits(const std::int8_t* digits) {
    std::int32_t four = 0;
    __builtin_memcpy(&four, digits, sizeof four);
    return _mm256_set1_epi32(four);
}
static inline void store_bytes(std::int32_t* to, Bytes v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), v);
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

/// sums[i] [16 rows]: of the codes of a strip times vector i.
template <std::size_t n_planes, std::size_t n>
static inline void multiply_strip(const std::byte* codes, std::size_t n_chunks,
                                  const std::int8_t* digits, std::size_t digit_step,
                                  std::int32_t (*sums)[strip]) {
    for (std::size_t part = 0; part < block; part += sizeof(Bytes)) {
        Bytes totals[n];
        for (std::size_t i = 0; i < n; ++i) {
            totals[i] = no_bytes();
        }
        for (std::size_t c = 0; c < n_chunks; ++c) {
            const std::byte* own = codes + c * n_planes * blocks_per_plane * block + part;
            multiply_plane<n, 0>(own, digits + c * digit_step, totals);
            if constexpr (n_planes == 2) {
                multiply_plane<n, 4>(own + blocks_per_plane * block, digits + c * digit_step,
                                     totals);
            }
        }
        for (std::size_t i = 0; i < n; ++i) {
            store_bytes(sums[i] + part / 4, totals[i]);
        }
    }
}

#else

constexpr std::size_t vectors_at_once = 8;

template <std::size_t n_planes, std::size_t n>
static inline void multiply_strip(const std::byte* codes, std::size_t n_chunks,
                                  const std::int8_t* digits, std::size_t digit_step,
                                  std::int32_t (*sums)[strip]) {
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t r = 0; r < strip; ++r) {
            sums[i][r] = 0;
        }
    }
    for (std::size_t at = 0; at < n_chunks * n_planes * blocks_per_plane; ++at) {
        const auto* own = reinterpret_cast<const std::uint8_t*>(codes + at * block);
        const std::size_t chunk = at / (n_planes * blocks_per_plane);
        const std::int32_t weight = at / blocks_per_plane % n_planes == 0 ? 1 : 16;
        for (std::size_t i = 0; i < n; ++i) {
            const std::int8_t* eight =
                digits + chunk * digit_step + i * lookup_chunk + at % blocks_per_plane * 8;
            for (std::size_t r = 0; r < strip; ++r) {
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

using MultiplyStrip = void (*)(const std::byte*, std::size_t, const std::int8_t*, std::size_t,
                               std::int32_t (*)[strip]);

template <std::size_t n_planes>
MultiplyStrip strip_function(std::size_t n) {
    constexpr MultiplyStrip table[most_digit_vectors] = {
        multiply_strip<n_planes, 1>,
        multiply_strip<n_planes, 2>,
        multiply_strip<n_planes, 3>,
        multiply_strip<n_planes, 4>,
#if LATHE_LANES == 8
    };
#else
        multiply_strip<n_planes, 5>,
        multiply_strip<n_planes, 6>,
        multiply_strip<n_planes, 7>,
        multiply_strip<n_planes, 8>
    };
#endif
    return table[n - 1];
}

/// y[r] += scale * (sum of (code - middle) * x + offset * sum of x). Only codes about their middle
/// are multiplied with x as it is rounded: a large offset does not make the error larger.
static inline void add_strip(const LookupGroup& group, const DigitVectors& x, std::size_t first,
                             const std::int32_t (*sums)[strip], float* y, std::size_t y_stride) {
    const std::uint16_t* scales = group.terms + first;
    const float middle = 0.5F * static_cast<float>((1U << group.n_planes) - 1U);
    for (std::size_t r = 0; r < strip; r += lanes) {
        const Floats scale = load_halves(scales + r);
        const Floats offset = group.has_offset ? load_halves(scales + lookup_tile_rows + r)
                                               : broadcast(group.usual_offset);
        for (std::size_t t = 0; t < x.n_tokens; ++t) {
            Floats total{};
            for (std::size_t d = x.n_digits; d-- > 0;) {
                const std::size_t i = t * x.n_digits + d;
                Ints sum;
                __builtin_memcpy(&sum, sums[i] + r, sizeof sum);
                total = total * 256.0F + (__builtin_convertvector(sum, Floats) -
                                          middle * static_cast<float>(x.digit_sums[i]));
            }
            float* to = y + t * y_stride + first + r;
            store(to, load(to) + scale * (total * x.scales[t] + offset * x.sums[t]));
        }
    }
}

template <std::size_t n_digits>
void write_digits(const float* x, float inverse, std::size_t n_chunks, std::size_t step,
                  std::int8_t* digits, std::int32_t* sums) {
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
            sums[d] += sum;
        }
    }
}

}  // namespace

float build_digits(const float* x, std::size_t n_chunks, std::size_t n_digits, std::size_t step,
                   std::int8_t* digits, std::int32_t* sums) {
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
        sums[d] = 0;
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
    std::int32_t sums[most_digit_vectors][strip];
    const std::size_t n = x.n_tokens * x.n_digits;
    const std::size_t strip_bytes = group.n_chunks * group.n_planes * block;
    for (std::size_t first = 0; first < lookup_tile_rows; first += strip) {
        const std::byte* codes = group.planes + first / strip * strip_bytes;
        for (std::size_t i = 0; i < n; i += vectors_at_once) {
            const std::size_t count = n - i < vectors_at_once ? n - i : vectors_at_once;
            const MultiplyStrip multiply =
                group.n_planes == 8 ? strip_function<2>(count) : strip_function<1>(count);
            multiply(codes, group.n_chunks, x.digits + i * lookup_chunk, n * lookup_chunk,
                     sums + i);
        }
        add_strip(group, x, first, sums, y, y_stride);
    }
}

}  // namespace lathe::kernels::LATHE_ISA
