#pragma once

// Included only by the sources in this folder, which are compiled once for each instruction set
// with LATHE_ISA (a namespace name) and LATHE_LANES (floats in a register) defined. To keep code
// for one processor out of functions shared by all, nothing here comes from the standard library
// and everything stands in the namespace of the instruction set.

#include <cstddef>
#include <cstdint>

namespace lathe::kernels::LATHE_ISA {

constexpr std::size_t lanes = LATHE_LANES;

// GCC's vector extension: the operators act lane by lane.
typedef float Floats __attribute__((vector_size(lanes * 4)));
typedef std::int32_t Ints __attribute__((vector_size(lanes * 4)));
typedef std::uint32_t Words __attribute__((vector_size(lanes * 4)));  // of which sums wrap around
typedef double Doubles __attribute__((vector_size(lanes * 4)));
typedef std::int64_t Longs __attribute__((vector_size(lanes * 4)));
/// Half a register of floats: what converts to one register of doubles.
typedef float HalfFloats __attribute__((vector_size(lanes * 2)));

// The same as they lie in memory, at any address.
typedef float StoredFloats __attribute__((vector_size(lanes * 4), aligned(4), may_alias));
typedef float StoredHalfFloats __attribute__((vector_size(lanes * 2), aligned(4), may_alias));

static inline Floats load(const float* p) {
    return *reinterpret_cast<const StoredFloats*>(p);
}
static inline void store(float* p, Floats v) {
    *reinterpret_cast<StoredFloats*>(p) = v;
}
static inline Floats broadcast(float x) {
    return x - Floats{};
}
static inline Doubles broadcast(double x) {
    return x - Doubles{};
}
static inline Doubles load_as_double(const float* p) {
    return __builtin_convertvector(HalfFloats(*reinterpret_cast<const StoredHalfFloats*>(p)),
                                   Doubles);
}

/// The first n lanes from memory, `fill` in the others.
static inline Floats load_some(const float* p, std::size_t n, float fill) {
    Floats v = broadcast(fill);
    for (std::size_t i = 0; i < n; ++i) {
        v[i] = p[i];
    }
    return v;
}
static inline void store_some(float* p, std::size_t n, Floats v) {
    for (std::size_t i = 0; i < n; ++i) {
        p[i] = v[i];
    }
}

/// Not-a-number on either side gives b.
static inline Floats larger(Floats a, Floats b) {
    return a > b ? a : b;
}

/// Folds the lanes in halves, in a fixed order.
template <class Vector, class Combine>
static inline auto fold(Vector v, Combine combine) {
    constexpr std::size_t n = sizeof(Vector) / sizeof(v[0]);
    for (std::size_t width = n / 2; width > 0; width /= 2) {
        for (std::size_t i = 0; i < width; ++i) {
            v[i] = combine(v[i], v[i + width]);
        }
    }
    return v[0];
}
static inline float sum_of(Floats v) {
    return fold(v, [](float a, float b) { return a + b; });
}
static inline double sum_of(Doubles v) {
    return fold(v, [](double a, double b) { return a + b; });
}
static inline float maximum_of(Floats v) {
    return fold(v, [](float a, float b) { return a > b ? a : b; });
}

/// exp(x + rest) for x <= 0 and a small rest that x has no digits left for, |rest| < 0.05: relative
/// error below 2e-7 (3e-7 with a rest); for x below -87.3 it is 0. NaN stays NaN.
/// x = n ln 2 + r with |r| <= ln 2 / 2; exp(r + rest) by the polynomial of the Cephes library.
static inline Floats exp_of(Floats x, Floats rest) {
    const float shifter = 12582912.0F;  // 1.5 * 2^23: adding it rounds to a whole number
    const Floats shifted = x * 1.44269504088896341F + shifter;
    const Floats n = shifted - shifter;
    const Floats r = (x - n * 0.693359375F) + n * 2.12194440e-4F + rest;
    Floats p = r * 1.9875691500e-4F + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    p = p * (r * r) + r + 1.0F;
    const Words exponent = reinterpret_cast<Words>(shifted) << 23;  // n in the exponent's place
    const Floats power = reinterpret_cast<Floats>(exponent + (127U << 23));
    return x < -87.3F ? Floats{} : p * power;
}
static inline Floats exp_of(Floats x) {
    return exp_of(x, broadcast(-0.0F));  // adding -0 changes nothing
}

/// x without the last 12 digits of its fraction, rounded: the square of what stays is exact.
static inline Floats half_the_digits(Floats x) {
    return reinterpret_cast<Floats>((reinterpret_cast<Words>(x) + 0x800U) & ~0xFFFU);
}

/// exp(x) for x <= 0 in fp64, relative error below 1e-15; below -708 it is 0. NaN stays NaN.
/// Taylor's series to r^13 on |r| <= ln 2 / 2.
static inline Doubles exp_of(Doubles x) {
    const double shifter = 6755399441055744.0;  // 1.5 * 2^52
    const Doubles shifted = x * 1.4426950408889634074 + shifter;
    const Doubles n = shifted - shifter;
    const Doubles r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
    Doubles p = broadcast(1.0 / 6227020800.0);
    constexpr double factorials[] = {479001600.0, 39916800.0, 3628800.0, 362880.0, 40320.0,
                                     5040.0,      720.0,      120.0,     24.0,     6.0,
                                     2.0,         1.0,        1.0};
    for (const double factorial : factorials) {
        p = p * r + 1.0 / factorial;
    }
    const Longs exponent = reinterpret_cast<Longs>(shifted) << 52;
    const Doubles power = reinterpret_cast<Doubles>(exponent + (std::int64_t{1023} << 52));
    return x < -708.0 ? Doubles{} : p * power;
}

/// A register of floats as two of doubles.
struct Wide {
    Doubles low;
    Doubles high;
};
static inline Wide widen(Floats x) {
    HalfFloats halves[2];
    __builtin_memcpy(halves, &x, sizeof x);
    return {__builtin_convertvector(halves[0], Doubles),
            __builtin_convertvector(halves[1], Doubles)};
}
static inline Floats narrow(Wide x) {
    const HalfFloats halves[2] = {__builtin_convertvector(x.low, HalfFloats),
                                  __builtin_convertvector(x.high, HalfFloats)};
    Floats y;
    __builtin_memcpy(&y, halves, sizeof y);
    return y;
}

/// exp(x) for x <= 0 that is known in fp64, to a relative 3e-7: an error of half a unit in the
/// last fp32 place of x = -80 alone would be 4e-6.
static inline Floats exp_of(Wide x) {
    const Wide limited = {x.low < -200.0 ? broadcast(-200.0) : x.low,
                          x.high < -200.0 ? broadcast(-200.0) : x.high};
    const Floats head = narrow(limited);
    const Wide known = widen(head);
    return exp_of(head, narrow({limited.low - known.low, limited.high - known.high}));
}

}  // namespace lathe::kernels::LATHE_ISA
