#include "kernels/cpu/variants/row_products.hpp"

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

// Products of bfloat16 numbers, two to a word, so that a word takes the place of a float in strips
// and panels. A product of two of them is exact in fp32; sums are fp32.

namespace lathe::kernels::LATHE_ISA {
namespace {

typedef std::int32_t StoredInts __attribute__((vector_size(lanes * 4), aligned(4), may_alias));
typedef std::int32_t StoredInt __attribute__((may_alias));

static inline Ints load_words(const float* p) {
    return *reinterpret_cast<const StoredInts*>(p);
}
static inline std::int32_t load_word(const float* p) {
    return *reinterpret_cast<const StoredInt*>(p);
}

/// A word of two numbers.
struct Pair {
    template <std::size_t n_rows>
    static void add_products(const float* a, const float* panel, Floats (&sums)[n_rows][2]) {
        const Ints left = load_words(panel);
        const Ints right = load_words(panel + lanes);
#if defined(__AVX512BF16__)
#pragma GCC unroll 16
        for (std::size_t i = 0; i < n_rows; ++i) {
            const auto element = (__m512bh)_mm512_set1_epi32(load_word(a + i * packed_stride));
            sums[i][0] = (Floats)_mm512_dpbf16_ps((__m512)sums[i][0], element, (__m512bh)left);
            sums[i][1] = (Floats)_mm512_dpbf16_ps((__m512)sums[i][1], element, (__m512bh)right);
        }
#else
        // In the order of that instruction.
        constexpr std::int32_t upper = -65536;
        const auto add = [&](Ints first, Ints second, auto part) {
#pragma GCC unroll 16
            for (std::size_t i = 0; i < n_rows; ++i) {
                const std::int32_t bits = part(load_word(a + i * packed_stride));
                float value = 0.0F;
                __builtin_memcpy(&value, &bits, sizeof value);
                sums[i][0] += broadcast(value) * Floats(first);
                sums[i][1] += broadcast(value) * Floats(second);
            }
        };
        add(left & upper, right & upper, [](std::int32_t word) { return word & upper; });
        add(left << 16, right << 16, [](std::int32_t word) {
            return static_cast<std::int32_t>(static_cast<std::uint32_t>(word) << 16);
        });
#endif
    }
};

/// The upper half of the bits, rounded to nearest even; of NaN a quiet one.
static inline std::uint32_t rounded(float value) {
    std::uint32_t bits = 0;
    __builtin_memcpy(&bits, &value, sizeof bits);
    const std::uint32_t nearest = bits + 0x7FFFU + (bits >> 16 & 1U);
    const bool is_nan = (bits & 0x7FFFFFFFU) > 0x7F800000U;
    return (is_nan ? bits | 0x400000U : nearest) >> 16;
}

}  // namespace

void multiply_pairs(std::size_t n_rows, std::size_t depth, const float* a, const float* panel,
                    float* c, std::size_t c_stride, bool accumulate, const float* next,
                    std::size_t next_stride) {
    multiply_elements<Pair>(n_rows, depth, a, panel, c, c_stride, accumulate, next, next_stride);
}

void round_to_pairs(const float* x, std::size_t n, float* words) {
    auto* const to = reinterpret_cast<StoredInt*>(words);
    for (std::size_t i = 0; i < n / 2; ++i) {
        to[i] = static_cast<std::int32_t>(rounded(x[2 * i]) | rounded(x[2 * i + 1]) << 16);
    }
    if (n % 2 != 0) {
        to[n / 2] = static_cast<std::int32_t>(rounded(x[n - 1]));
    }
}

}  // namespace lathe::kernels::LATHE_ISA
