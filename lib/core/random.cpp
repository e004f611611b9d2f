#include "lib/core/random.hpp"

namespace lathe {

std::uint64_t random_word(std::uint64_t seed, std::uint64_t counter) noexcept {
    std::uint64_t z = seed + (counter + 1) * 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31U);
}

double random_unit(std::uint64_t seed, std::uint64_t counter) noexcept {
    return static_cast<double>(random_word(seed, counter) >> 11U) * 0x1p-53;
}

}  // namespace lathe
