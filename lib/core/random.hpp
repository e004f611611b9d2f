#pragma once

#include <cstdint>

namespace lathe {

/// Number `counter` of the stream `seed` of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): any of
/// them without the ones before, the same on every machine.
[[nodiscard]] std::uint64_t random_word(std::uint64_t seed, std::uint64_t counter) noexcept;

/// The same as a number in [0, 1): the upper 53 bits of the word, over 2^53.
[[nodiscard]] double random_unit(std::uint64_t seed, std::uint64_t counter) noexcept;

}  // namespace lathe
