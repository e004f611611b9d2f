#include "lib/dataset/choice_metrics.hpp"

#include <array>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
using Sums = std::vector<std::vector<double>>;

constexpr std::array<std::string_view, 2> names = {"accuracy", "accuracy_norm"};

ChoiceExample example(std::vector<std::size_t> lengths, std::size_t answer) {
    ChoiceExample result;
    result.lengths = std::move(lengths);
    result.answer = answer;
    return result;
}

TEST(ChoiceMetrics, SumAndSumPerCharacter) {
    const std::vector<ChoiceExample> examples = {
        example({2, 10}, 0),  // -4 beats -6, but -0.6 beats -2
        example({2, 10}, 1), example({5, 5, 5}, 2), example({3, 3}, 0),  // equal: the first
    };
    const Sums sums = {{-4, -6}, {-4, -6}, {-3, -2, -1}, {-1, -1}};
    const auto metrics = choice_metrics(names, examples, sums);
    ASSERT_EQ(metrics.size(), 2U);
    EXPECT_EQ(metrics[0].name, "accuracy");
    EXPECT_EQ(metrics[0].value, 0.75);  // all but the second
    EXPECT_EQ(metrics[1].name, "accuracy_norm");
    EXPECT_EQ(metrics[1].value, 0.75);                  // all but the first
    EXPECT_DOUBLE_EQ(metrics[1].standard_error, 0.25);  // sqrt(0.75 * 0.25 / 3)
    EXPECT_EQ(metrics[1].examples, 4U);
}

TEST(ChoiceMetrics, NanIsWrongAndEmptyOptionsAreNotTaken) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const auto broken = choice_metrics(names, std::vector{example({1, 1}, 0)}, Sums{{nan, nan}});
    EXPECT_EQ(broken[0].value, 0.0);
    EXPECT_EQ(broken[1].value, 0.0);
    const auto empty = choice_metrics(names, std::vector{example({0, 4}, 1)}, Sums{{0, -4}});
    EXPECT_EQ(empty[0].value, 0.0);
    EXPECT_EQ(empty[1].value, 1.0);
}

TEST(ChoiceMetrics, Refusals) {
    const std::vector<ChoiceExample> one = {example({1, 1}, 0)};
    EXPECT_THAT([&] { (void)choice_metrics(names, one, Sums{}); },
                ThrowsMessage<ShapeError>(HasSubstr("1 examples, 0 lists")));
    EXPECT_THAT(
        [&] {
            (void)choice_metrics(names, one, Sums{{1, 2, 3}});
        },
        ThrowsMessage<ShapeError>(HasSubstr("example 0 has 2 options, 3 log-likelihoods")));
    EXPECT_THROW((void)choice_metrics(names, {}, {}), ShapeError);
    constexpr std::array<std::string_view, 1> unknown = {"f1"};
    EXPECT_THROW((void)choice_metrics(unknown, one, Sums{{1, 2}}), InternalError);
}

}  // namespace
}  // namespace lathe
