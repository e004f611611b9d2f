#pragma once

#include <cstddef>
#include <functional>
#include <span>

namespace lathe {

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
