#include "kernels/cpu/variants/kernels.hpp"
#include "kernels/cpu/variants/simd.hpp"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

// Tables of whole numbers, linear in between. A compiler does not look up by vectors on its own,
// because some processors are slow at it.

namespace lathe::kernels::LATHE_ISA {
namespace {

static inline std::int32_t interpolate_one(const std::int32_t* values, int rest_bits,
                                           std::int32_t x) {
    const std::int32_t* place = values + (x >> rest_bits);
    const std::int32_t rest = x & ((1 << rest_bits) - 1);
    return place[0] + (((place[1] - place[0]) * rest + ((1 << rest_bits) >> 1)) >> rest_bits);
}

#if defined(__AVX2__)
typedef std::int32_t StoredInts __attribute__((vector_size(lanes * 4), aligned(4), may_alias));

static inline Ints gather(const std::int32_t* values, Ints places) {
#if LATHE_LANES == 16
    // With a mask that is all ones, because GCC 12 warns of its own header without.
    return Ints(
        _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), 0xFFFF, (__m512i)places, values, 4));
#else
    return Ints(_mm256_i32gather_epi32(values, (__m256i)places, 4));
#endif
}
#endif

}  // namespace

void interpolate(const std::int32_t* values, int rest_bits, const std::int32_t* x, std::size_t n,
                 std::int32_t* to) {
    std::size_t j = 0;
#if defined(__AVX2__)
    const std::int32_t half = (1 << rest_bits) >> 1;
    for (; j + lanes <= n; j += lanes) {
        // Not auto: that would forget that there may be no alignment.
        const Ints own = *reinterpret_cast<const StoredInts*>(x + j);
        const Ints places = own >> rest_bits;
        const Ints low = gather(values, places);
        const Ints step = gather(values + 1, places) - low;
        const Ints rest = own & ((1 << rest_bits) - 1);
        StoredInts* y = reinterpret_cast<StoredInts*>(to + j);  // NOLINT(*-use-auto)
        *y = low + ((step * rest + half) >> rest_bits);
    }
#endif
    for (; j < n; ++j) {
        to[j] = interpolate_one(values, rest_bits, x[j]);
    }
}

}  // namespace lathe::kernels::LATHE_ISA
