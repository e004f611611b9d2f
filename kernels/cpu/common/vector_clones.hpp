#pragma once

#include <array>
#include <cstddef>

/// Marks a function of plain loops that the compiler translates for several instruction sets; the
/// best one for the machine is picked when the program starts. What it calls must be inlined.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define LATHE_VECTOR_CLONES \
    __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define LATHE_VECTOR_CLONES
#endif

/// The same for a function whose calls are all inlined, as far as that is possible.
#define LATHE_FLAT_VECTOR_CLONES LATHE_VECTOR_CLONES __attribute__((flatten))

/// Marks a helper of such a function.
#define LATHE_ALWAYS_INLINE __attribute__((always_inline)) inline

namespace lathe::kernels {

/// A sum in fp64 over a row: element j goes to lane j % sum_lanes. The number of lanes is fixed, so
/// that clones for vectors of any width add up in one order, to the same bits.
inline constexpr std::size_t sum_lanes = 16;
using LaneSums = std::array<double, sum_lanes>;

LATHE_ALWAYS_INLINE double total(const LaneSums& lanes) {
    double sum = 0.0;
    for (const double lane : lanes) {
        sum += lane;
    }
    return sum;
}

}  // namespace lathe::kernels
