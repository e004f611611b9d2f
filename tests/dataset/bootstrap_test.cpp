#include "lib/dataset/bootstrap.hpp"

#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lathe {
namespace {

using Indices = std::span<const std::size_t>;

TEST(Bootstrap, ResamplesAreOfTheWholeSet) {
    std::set<std::size_t> seen;
    (void)bootstrap_standard_error(7, [&](Indices indices) {
        EXPECT_EQ(indices.size(), 7U);
        seen.insert(indices.begin(), indices.end());
        return 0.0;
    });
    EXPECT_THAT(seen, ::testing::ElementsAre(0, 1, 2, 3, 4, 5, 6));
}

TEST(Bootstrap, ErrorOfAMeanIsNearTheFormula) {
    // The mean of 0, 1, ..., n - 1: sqrt((n^2 - 1) / 12 / n), without Bessel's correction. With
    // 1000 resamples the bootstrap scatters by 1 / sqrt(2000) = 2.2 %; this allows three times
    // that.
    constexpr std::size_t n = 200;
    const double error = bootstrap_standard_error(n, [](Indices indices) {
        return static_cast<double>(std::accumulate(indices.begin(), indices.end(), 0UL)) / n;
    });
    EXPECT_NEAR(error / std::sqrt((n * n - 1.0) / 12.0 / n), 1.0, 0.067);
}

TEST(Bootstrap, UndefinedResamplesAreLeftOut) {
    constexpr double undefined = std::numeric_limits<double>::quiet_NaN();
    std::size_t n_calls = 0;
    const auto first_two = [&](Indices) {
        ++n_calls;
        return n_calls == 1 ? 1.0 : n_calls == 2 ? 3.0 : undefined;
    };
    EXPECT_DOUBLE_EQ(bootstrap_standard_error(3, first_two), std::sqrt(2.0));
    EXPECT_EQ(n_calls, 1000U);
    EXPECT_TRUE(std::isnan(bootstrap_standard_error(3, [](Indices) { return undefined; })));
}

}  // namespace
}  // namespace lathe
