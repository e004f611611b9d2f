#include "lib/dataset/paired.hpp"

#include <array>
#include <cmath>

#include <gtest/gtest.h>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

using Sums = std::vector<double>;

// Two windows of three tokens with sums 6 and 3: mean 1.5, residuals +-1.5, so the standard error
// is sqrt(4.5 * 2 / 1) / 6 = 0.5.
TEST(MeanOfGroups, TakesGroupsForIndependent) {
    const GroupMean mean = mean_of_groups(Sums{6.0, 3.0}, Sums{3.0, 3.0});
    EXPECT_DOUBLE_EQ(mean.value, 1.5);
    EXPECT_DOUBLE_EQ(mean.standard_error, 0.5);
    EXPECT_TRUE(std::isnan(mean_of_groups(Sums{6.0}, Sums{3.0}).standard_error));
    EXPECT_THROW((void)mean_of_groups(Sums{}, Sums{}), ShapeError);
    EXPECT_THROW((void)mean_of_groups(Sums{1.0}, Sums{0.0}), ShapeError);
    EXPECT_THROW((void)mean_of_groups(Sums{1.0}, Sums{1.0, 1.0}), ShapeError);
}

// Groups of one: the paired t test. Differences 1, 0, 2, 3, 1: mean 1.4, variance 1.3, so t is
// 1.4 / sqrt(1.3 / 5) = 2.7456259. The density of Student's t with 4 degrees of freedom, integrated
// beyond it by Simpson's rule in 2 million steps, gives p = 0.0516059578.
TEST(PairedDifference, OfGroupsOfOneIsThePairedTTest) {
    const Sums ones(5, 1.0);
    const PairedDifference found =
        paired_difference(Sums{5, 7, 4, 9, 6}, Sums{4, 7, 2, 6, 5}, ones);
    EXPECT_DOUBLE_EQ(found.mean, 1.4);
    EXPECT_NEAR(found.t, 2.7456259, 1e-6);
    EXPECT_NEAR(found.p_value, 0.0516059578, 1e-9);
    EXPECT_NEAR(found.standard_error, 1.4 / 2.7456259, 1e-6);
    EXPECT_EQ(found.groups, 5U);
    const PairedDifference turned =
        paired_difference(Sums{4, 7, 2, 6, 5}, Sums{5, 7, 4, 9, 6}, ones);
    EXPECT_DOUBLE_EQ(turned.t, -found.t);
    EXPECT_DOUBLE_EQ(turned.p_value, found.p_value);
}

// What the windows have in common cancels: each model's own standard error is 100 times as large.
TEST(PairedDifference, IsSharperThanEachModelsOwnError) {
    const Sums a{101.0, 201.5, 301.0, 401.5};
    const Sums b{100.0, 200.0, 300.0, 400.0};
    const Sums tokens(4, 10.0);
    const PairedDifference found = paired_difference(a, b, tokens);
    EXPECT_DOUBLE_EQ(found.mean, 0.125);
    EXPECT_GT(mean_of_groups(a, tokens).standard_error, 100.0 * found.standard_error);
}

TEST(PairedDifference, OfEqualModelsIsNone) {
    const PairedDifference found = paired_difference(Sums{1, 2}, Sums{1, 2}, Sums{1, 1});
    EXPECT_EQ(found.mean, 0.0);
    EXPECT_EQ(found.t, 0.0);
    EXPECT_EQ(found.p_value, 1.0);
}

TEST(PairedDifference, IsNotDefinedWithoutAStandardError) {
    for (const PairedDifference& found :
         {paired_difference(Sums{2}, Sums{1}, Sums{1}),              // one window
          paired_difference(Sums{2, 3}, Sums{1, 2}, Sums{1, 1})}) {  // always the same
        EXPECT_EQ(found.mean, 1.0);
        EXPECT_TRUE(std::isnan(found.t));
        EXPECT_TRUE(std::isnan(found.p_value));
    }
    EXPECT_THROW((void)paired_difference(Sums{1}, Sums{1, 2}, Sums{1}), ShapeError);
}

// 9 to 1: 2 (C(10, 0) + C(10, 1)) / 2^10 = 22 / 1024. 5 to 5: twice the tail is above 1.
TEST(CompareAnswers, IsMcNemarsExactTest) {
    const auto answers = [](std::array<std::size_t, 4> counts) {
        std::vector<bool> a;
        std::vector<bool> b;
        const auto add = [&](std::size_t n, bool first, bool second) {
            a.insert(a.end(), n, first);
            b.insert(b.end(), n, second);
        };
        add(counts[0], true, true);
        add(counts[1], true, false);
        add(counts[2], false, true);
        add(counts[3], false, false);
        return compare_answers(a, b);
    };
    const AnswerPairs uneven = answers({100, 9, 1, 20});
    EXPECT_EQ(uneven.both, 100U);
    EXPECT_EQ(uneven.only_a, 9U);
    EXPECT_EQ(uneven.only_b, 1U);
    EXPECT_EQ(uneven.neither, 20U);
    EXPECT_NEAR(uneven.p_value, 22.0 / 1024.0, 1e-12);
    EXPECT_NEAR(answers({0, 1, 9, 0}).p_value, 22.0 / 1024.0, 1e-12);
    EXPECT_EQ(answers({3, 5, 5, 0}).p_value, 1.0);
    EXPECT_EQ(answers({3, 0, 0, 2}).p_value, 1.0);
    EXPECT_THROW((void)compare_answers({true}, {true, false}), ShapeError);
}

}  // namespace
}  // namespace lathe
