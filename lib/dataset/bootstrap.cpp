#include "lib/dataset/bootstrap.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "lib/core/random.hpp"

namespace lathe {
namespace {

constexpr std::size_t n_resamples = 1000;
constexpr std::uint64_t bootstrap_seed = 0;

/// 0 to n - 1. The upper half of the word is enough: for n examples the chances of two of them
/// differ by less than n / 2^32 of their size.
std::size_t random_index(std::uint64_t word, std::size_t n) {
    return static_cast<std::size_t>(((word >> 32U) * n) >> 32U);
}

/// Divided by one less than their number.
double standard_deviation(const std::vector<double>& values) {
    if (values.size() < 2) return std::numeric_limits<double>::quiet_NaN();
    double sum = 0.0;
    for (const double value : values) sum += value;
    const double mean = sum / static_cast<double>(values.size());
    double squares = 0.0;
    for (const double value : values) squares += (value - mean) * (value - mean);
    return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

}  // namespace

double bootstrap_standard_error(
    std::size_t n, const std::function<double(std::span<const std::size_t>)>& statistic) {
    std::vector<std::size_t> indices(n);
    std::vector<double> values;
    values.reserve(n_resamples);
    for (std::size_t resample = 0; resample < n_resamples; ++resample) {
        for (std::size_t i = 0; i < n; ++i) {
            indices[i] = random_index(random_word(bootstrap_seed, resample * n + i), n);
        }
        const double value = statistic(indices);
        if (!std::isnan(value)) values.push_back(value);
    }
    return standard_deviation(values);
}

}  // namespace lathe
