#include "kernels/cpu/variants/kernels.hpp"
#include "kernels/cpu/variants/simd.hpp"

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

// Products of bfloat16 numbers, two to a word, so that a word takes the place of a float in strips
// and panels. A product of two of them is exact in fp32; sums are fp32.

namespace lathe::kernels::LATHE_ISA {
namespace {

constexpr std::size_t width = product_width;

typedef std::int32_t StoredInts __attribute__((vector_size(lanes * 4), aligned(4), may_alias));
typedef std::int32_t StoredInt __attribute__((may_alias));

static inline Ints load_words(const float* p) {
    return *reinterpret_cast<const StoredInts*>(p);
}
static inline std::int32_t load_word(const float* p) {
    return *reinterpret_cast<const StoredInt*>(p);
}

/// Two panels of words times a row each of n_rows words.
template <std::size_t n_rows>
void add_products(const float* a, Ints left, Ints right, Floats (&sums)[n_rows][2]) {
#if defined(__AVX512BF16__)
#pragma GCC unroll 16
    for (std::size_t i = 0; i < n_rows; ++i) {
        const auto element = (__m512bh)_mm512_set1_epi32(load_word(a + i * packed_stride));
        sums[i][0] = (Floats)_mm512_dpbf16_ps((__m512)sums[i][0], element, (__m512bh)left);
        sums[i][1] = (Floats)_mm512_dpbf16_ps((__m512)sums[i][1], element, (__m512bh)right);
    }
#else
    constexpr std::int32_t upper = -65536;
    const auto add = [&](Floats first, Floats second, auto part) {
#pragma GCC unroll 16
        for (std::size_t i = 0; i < n_rows; ++i) {
            const std::int32_t bits = part(load_word(a + i * packed_stride));
            float value = 0.0F;
            __builtin_memcpy(&value, &bits, sizeof value);
            sums[i][0] += broadcast(value) * first;
            sums[i][1] += broadcast(value) * second;
        }
    };
    add(Floats(left & upper), Floats(right & upper),
        [](std::int32_t word) { return word & upper; });
    add(Floats(left << 16), Floats(right << 16), [](std::int32_t word) {
        return static_cast<std::int32_t>(static_cast<std::uint32_t>(word) << 16);
    });
#endif
}

template <std::size_t n_rows>
void multiply_rows(std::size_t depth, const float* a, const float* panel, float* c,
                   std::size_t c_stride, bool accumulate, const float* next,
                   std::size_t next_stride) {
    Floats sums[n_rows][2] = {};
#pragma GCC unroll 16
    for (std::size_t i = 0; i < n_rows; ++i) {
        __builtin_prefetch(c + i * c_stride, 1);
        __builtin_prefetch(c + i * c_stride + lanes, 1);
    }
    for (std::size_t k = 0; k < depth; ++k) {
        __builtin_prefetch(panel + (k + 8) * width);
        __builtin_prefetch(panel + (k + 8) * width + lanes);
        __builtin_prefetch(next + k);
        __builtin_prefetch(next + next_stride + k);
        add_products<n_rows>(a + k, load_words(panel + k * width),
                             load_words(panel + k * width + lanes), sums);
    }
#pragma GCC unroll 16
    for (std::size_t i = 0; i < n_rows; ++i) {
        float* row = c + i * c_stride;
        if (accumulate) {
            sums[i][0] += load(row);
            sums[i][1] += load(row + lanes);
        }
        store(row, sums[i][0]);
        store(row + lanes, sums[i][1]);
    }
}

using MultiplyRows = void (*)(std::size_t, const float*, const float*, float*, std::size_t, bool,
                              const float*, std::size_t);
constexpr MultiplyRows multiply_table[] = {
    multiply_rows<1>,  multiply_rows<2>,  multiply_rows<3>,  multiply_rows<4>,
    multiply_rows<5>,  multiply_rows<6>,
#if LATHE_LANES == 16
    multiply_rows<7>,  multiply_rows<8>,  multiply_rows<9>,  multiply_rows<10>,
    multiply_rows<11>, multiply_rows<12>, multiply_rows<13>, multiply_rows<14>,
#endif
};
static_assert(sizeof(multiply_table) / sizeof(MultiplyRows) == product_height);

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
    multiply_table[n_rows - 1](depth, a, panel, c, c_stride, accumulate, next, next_stride);
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
