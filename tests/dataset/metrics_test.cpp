#include "lib/dataset/metrics.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
using U = std::vector<std::uint32_t>;
using D = std::vector<double>;

// Values marked "sklearn" or "scipy" come from scikit-learn and SciPy: f1_score(actual, predicted,
// zero_division=0), matthews_corrcoef(actual, predicted), pearsonr, spearmanr; the standard errors
// beside them from numpy.std(values, ddof=1) of the same functions on the resamples of
// bootstrap.hpp, drawn again in Python.

const U predicted = {1, 1, 0, 1, 0, 0, 1, 0, 1, 1};
const U actual = {1, 0, 0, 1, 1, 0, 1, 0, 1, 0};

TEST(Accuracy, ShareAndErrorOfTheMean) {
    const Metric metric = accuracy(predicted, actual);
    EXPECT_EQ(metric.name, "accuracy");
    EXPECT_EQ(metric.examples, 10U);
    EXPECT_DOUBLE_EQ(metric.value, 0.7);
    EXPECT_DOUBLE_EQ(metric.standard_error, std::sqrt(0.7 * 0.3 / 9.0));
}

TEST(Accuracy, AllRightAndOneExample) {
    EXPECT_EQ(accuracy(U{2, 3}, U{2, 3}).standard_error, 0.0);
    EXPECT_EQ(accuracy(U{1}, U{1}).value, 1.0);
    EXPECT_TRUE(std::isnan(accuracy(U{1}, U{1}).standard_error));
}

TEST(F1, PositiveIsOne) {
    // By hand: 4 right ones, 6 predicted, 5 there: 8 / 11.
    const Metric metric = f1(predicted, actual);
    EXPECT_DOUBLE_EQ(metric.value, 8.0 / 11.0);
    EXPECT_NEAR(metric.standard_error, 0.17342675001607832, 1e-12);  // sklearn
    EXPECT_EQ(metric.name, "f1");
}

TEST(F1, EdgeCases) {
    EXPECT_EQ(f1(U{0, 0}, U{0, 0}).value, 0.0);
    EXPECT_EQ(f1(U{0, 0}, U{1, 0}).value, 0.0);
    EXPECT_EQ(f1(U{1, 1}, U{1, 1}).value, 1.0);
    EXPECT_THAT(
        [] {
            (void)f1(U{0, 2}, U{0, 1});
        },
        ThrowsMessage<ShapeError>(HasSubstr("f1: label 2, expected less than 2")));
}

TEST(Matthews, TwoLabels) {
    // By hand: TP 4, TN 3, FP 2, FN 1: (12 - 2) / sqrt(6 * 5 * 5 * 4).
    const Metric metric = matthews(predicted, actual);
    EXPECT_DOUBLE_EQ(metric.value, 10.0 / std::sqrt(600.0));
    EXPECT_NEAR(metric.standard_error, 0.30556125279002067, 1e-12);  // sklearn
}

TEST(Matthews, ThreeLabels) {
    const Metric metric = matthews(U{0, 1, 2, 2, 1, 0, 0, 1}, U{0, 1, 2, 1, 1, 0, 2, 2});
    EXPECT_NEAR(metric.value, 0.4523809523809524, 1e-15);            // sklearn
    EXPECT_NEAR(metric.standard_error, 0.26940901530165084, 1e-12);  // sklearn
}

TEST(Matthews, ConstantIsZero) {
    EXPECT_EQ(matthews(U{1, 1, 1}, U{0, 1, 1}).value, 0.0);
    EXPECT_EQ(matthews(U{0, 1, 1}, U{1, 1, 1}).value, 0.0);
    EXPECT_EQ(matthews(U{1, 1}, U{1, 1}).value, 0.0);
    EXPECT_EQ(matthews(U{0, 1}, U{1, 0}).value, -1.0);
    EXPECT_THROW((void)matthews(U{4000000000U}, U{0}), ShapeError);
}

// 2.5 twice on one side, 2 and 3 twice on the other, at different places.
const D x = {0.1, 2.5, 2.5, 3.0, 4.75, 4.0, 1.0, 0.0};
const D y = {0.0, 2.0, 3.0, 3.0, 5.0, 3.8, 2.0, 0.5};

TEST(Pearson, MatchesSciPy) {
    const Metric metric = pearson(x, y);
    EXPECT_NEAR(metric.value, 0.9616993907260096, 1e-14);             // scipy
    EXPECT_NEAR(metric.standard_error, 0.035407629861397345, 1e-12);  // scipy
    EXPECT_EQ(metric.examples, 8U);
}

TEST(Pearson, ScaleDoesNotCount) {
    EXPECT_NEAR(pearson(D{1e300, 3e300, 2e300}, D{1e-300, 3e-300, 2e-300}).value, 1.0, 1e-15);
    EXPECT_NEAR(pearson(D{1, 3, 2}, D{-7, -9, -8}).value, -1.0, 1e-15);
}

TEST(Pearson, ResamplesWithoutVarianceAreLeftOut) {
    // 329 of the 1000 resamples have equal predictions or equal facts.
    const Metric metric = pearson(D{1, 2, 4}, D{1, 3, 3});
    EXPECT_NEAR(metric.value, 0.7559289460184543, 1e-14);            // scipy
    EXPECT_NEAR(metric.standard_error, 0.11581011449967078, 1e-12);  // scipy
}

TEST(Spearman, TiesShareTheMeanRank) {
    const Metric metric = spearman(x, y);
    EXPECT_NEAR(metric.value, 0.9454719096527425, 1e-14);            // scipy
    EXPECT_NEAR(metric.standard_error, 0.08181364677728592, 1e-12);  // scipy
    // By hand: ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4; 4.5 / sqrt(4.5 * 5).
    EXPECT_NEAR(spearman(D{1, 5, 5, 9}, D{0, 1, 2, 3}).value, std::sqrt(0.9), 1e-15);
}

TEST(Spearman, OnlyTheOrderCounts) {
    EXPECT_EQ(spearman(D{1, 2, 3, 4}, D{1, 10, 100, 1e300}).value, 1.0);
    EXPECT_EQ(spearman(D{4, 3, 2, 1}, D{1, 10, 100, 1e300}).value, -1.0);
}

TEST(Correlations, NotDefined) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const double infinity = std::numeric_limits<double>::infinity();
    // 0.1 three times: their mean is not exactly 0.1.
    const D constants[] = {{0.1, 0.1, 0.1}, {1, nan, 3}, {1, 2, infinity}};
    for (const auto& correlation : {pearson, spearman}) {
        for (const D& bad : constants) {
            for (const Metric& metric :
                 {correlation(bad, D{1, 2, 3}), correlation(D{1, 2, 3}, bad)}) {
                EXPECT_TRUE(std::isnan(metric.value));
                EXPECT_TRUE(std::isnan(metric.standard_error));
            }
        }
        EXPECT_TRUE(std::isnan(correlation(D{1}, D{2}).value));
    }
}

TEST(Metrics, RefuseNothingAndUnequalNumbers) {
    for (const auto& metric : {accuracy, f1, matthews}) {
        EXPECT_THAT([&] { (void)metric(U{}, U{}); },
                    ThrowsMessage<ShapeError>(HasSubstr("0 predictions for 0 examples")));
        EXPECT_THAT(
            [&] {
                (void)metric(U{1}, U{1, 0});
            },
            ThrowsMessage<ShapeError>(HasSubstr("1 predictions for 2 examples")));
    }
    EXPECT_THROW((void)pearson(D{}, D{}), ShapeError);
    EXPECT_THROW((void)spearman(D{1, 2}, D{1}), ShapeError);
    EXPECT_THROW((void)accuracy_of_counts("accuracy", 3, 2), ShapeError);
}

TEST(Metrics, ByName) {
    constexpr std::array<std::string_view, 2> names = {"f1", "accuracy"};
    const auto metrics = label_metrics(names, predicted, actual);
    ASSERT_EQ(metrics.size(), 2U);
    EXPECT_EQ(metrics[0].name, "f1");
    EXPECT_DOUBLE_EQ(metrics[1].value, 0.7);

    constexpr std::array<std::string_view, 2> correlations = {"pearson", "spearman"};
    EXPECT_EQ(score_metrics(correlations, x, y)[1].value, spearman(x, y).value);
    EXPECT_THAT([&] { (void)label_metrics(correlations, predicted, actual); },
                ThrowsMessage<InternalError>(HasSubstr("no metric pearson")));
}

}  // namespace
}  // namespace lathe
