#include "lib/core/random.hpp"

#include <gtest/gtest.h>

namespace lathe {
namespace {

TEST(Random, WordsAreSplitMix64) {
    // The published sequence for seed 1234567.
    EXPECT_EQ(random_word(1234567, 0), 6457827717110365317U);
    EXPECT_EQ(random_word(1234567, 1), 3203168211198807973U);
    EXPECT_EQ(random_word(1234567, 4), 16408922859458223821U);
}

TEST(Random, UnitsAreTheUpperBitsOfTheWord) {
    // 6457827717110365317 >> 11 = 3153236189995295, over 2^53.
    EXPECT_EQ(random_unit(1234567, 0), 3153236189995295.0 / 9007199254740992.0);
    double sum = 0.0;
    for (std::uint64_t i = 0; i < 1000; ++i) {
        const double unit = random_unit(1, i);
        EXPECT_GE(unit, 0.0);
        EXPECT_LT(unit, 1.0);
        sum += unit;
    }
    EXPECT_NEAR(sum / 1000, 0.5, 4 * 0.2887 / 31.6);  // four standard errors of the mean
}

}  // namespace
}  // namespace lathe
