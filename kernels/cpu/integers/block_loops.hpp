#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/common/vector_clones.hpp"
#include "kernels/cpu/common/vector_kernels.hpp"
#include "kernels/layouts/fixed_point.hpp"

// Loops over the numbers of a block that compilers turn into vectors: the direction of a shift is
// settled before a loop, so that it is one instruction in it. For functions with
// LATHE_VECTOR_CLONES, into which they are inlined.

namespace lathe::kernels {
namespace block_loops {

/// x * 2^up, the same `up` for all, rounded half to even. To the left 62 at most:
struct Left {
    int up;
    LATHE_ALWAYS_INLINE std::int64_t operator()(std::int64_t x) const { return x << up; }
};
/// To the right, 1 to 62:
struct Right {
    int down;
    LATHE_ALWAYS_INLINE std::int64_t operator()(std::int64_t x) const {
        return fixed_point::round_right<std::int64_t>(x, down);
    }
};
struct Away {
    LATHE_ALWAYS_INLINE std::int64_t operator()(std::int64_t /*x*/) const { return 0; }
};

template <class Shift, class T>
LATHE_ALWAYS_INLINE void store_shifted(const std::int64_t* x, std::size_t n, Shift shift,
                                       std::int64_t highest, T* to) {
    for (std::size_t j = 0; j < n; ++j) {
        std::int64_t q = shift(x[j]);
        q = q < highest ? q : highest;
        q = q > -highest ? q : -highest;
        to[j] = static_cast<T>(q);
    }
}

template <class T>
LATHE_ALWAYS_INLINE void store_any(const std::int64_t* x, std::size_t n, int up,
                                   std::int64_t highest, T* to) {
    if (up >= 0) {
        store_shifted(x, n, Left{up < 62 ? up : 62}, highest, to);
    } else if (up >= -62) {
        store_shifted(x, n, Right{-up}, highest, to);
    } else {
        store_shifted(x, n, Away{}, highest, to);
    }
}

template <class OwnShift, class Shift>
LATHE_ALWAYS_INLINE void add_shifted(std::int64_t* own, OwnShift own_shift,
                                     const std::int64_t* other, Shift shift, std::size_t n) {
    for (std::size_t j = 0; j < n; ++j) {
        own[j] = own_shift(own[j]) + shift(other[j]);
    }
}

template <class OwnShift>
LATHE_ALWAYS_INLINE void add_any(std::int64_t* own, OwnShift own_shift, const std::int64_t* other,
                                 int up, std::size_t n) {
    if (up >= 0) {
        add_shifted(own, own_shift, other, Left{up < 62 ? up : 62}, n);
    } else if (up >= -62) {
        add_shifted(own, own_shift, other, Right{-up}, n);
    } else {
        add_shifted(own, own_shift, other, Away{}, n);
    }
}

}  // namespace block_loops

/// fixed_point::PlainLoops in vectors.
struct VectorLoops {
    LATHE_ALWAYS_INLINE static std::uint64_t largest(const std::int64_t* x, std::size_t n) {
        std::uint64_t most = 0;
        for (std::size_t j = 0; j < n; ++j) {
            const auto bits = static_cast<std::uint64_t>(x[j]);
            const std::uint64_t size = x[j] < 0 ? std::uint64_t{0} - bits : bits;
            most = most < size ? size : most;
        }
        return most;
    }
    LATHE_ALWAYS_INLINE static void add(std::int64_t* own, int own_up, const std::int64_t* other,
                                        int other_up, std::size_t n) {
        using namespace block_loops;
        if (own_up >= 0) {
            add_any(own, Left{own_up < 62 ? own_up : 62}, other, other_up, n);
        } else if (own_up >= -62) {
            add_any(own, Right{-own_up}, other, other_up, n);
        } else {
            add_any(own, Away{}, other, other_up, n);
        }
    }
    static void interpolate(const std::int32_t* values, int rest_bits, const std::int32_t* x,
                            std::size_t n, std::int32_t* to) {
        vector_kernels().interpolate(values, rest_bits, x, n, to);
    }
    template <class T>
    LATHE_ALWAYS_INLINE static void store(const std::int64_t* x, std::size_t n, int up,
                                          std::int64_t highest, T* to) {
        block_loops::store_any(x, n, up, highest, to);
    }
};

}  // namespace lathe::kernels
