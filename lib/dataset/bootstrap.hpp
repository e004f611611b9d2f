#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

namespace lathe {

/// Number `counter` of the stream `seed` of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): any of
/// them without the ones before, the same on every machine.
[[nodiscard]] std::uint64_t random_word(std::uint64_t seed, std::uint64_t counter) noexcept;

/// Standard error of a statistic by the bootstrap (Efron 1979): the sample standard deviation of
/// its values on 1000 resamples of `n` examples, drawn with replacement. The draws depend on `n`
/// alone, so two statistics of one set see the same resamples.
///
/// `statistic` is given the n indices of a resample. Resamples on which it is NaN (a correlation
/// when all the drawn examples are alike) are left out; NaN if fewer than two remain.
/// @pre n > 0
[[nodiscard]] double bootstrap_standard_error(
    std::size_t n, const std::function<double(std::span<const std::size_t>)>& statistic);

}  // namespace lathe
