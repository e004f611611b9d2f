#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace lathe {

// What two models do on the same windows or examples differs by much less than what one model does
// on different ones. So their difference is taken window by window, example by example.

/// A mean over units that stand in groups: tokens in windows. The standard error takes groups, not
/// units, for independent: that of a ratio of two sums over them (Cochran, Sampling Techniques,
/// 2.11). NaN for a single group.
struct GroupMean {
    double value = 0.0;
    double standard_error = 0.0;
};

/// `sums` and `counts` of each group; counts may be equal.
/// @throws ShapeError  if they differ in number, there are none, or all counts are 0
[[nodiscard]] GroupMean mean_of_groups(std::span<const double> sums,
                                       std::span<const double> counts);

/// The mean of a - b.
struct PairedDifference {
    double mean = 0.0;
    double standard_error = 0.0;  ///< NaN for a single group
    /// mean / standard_error, and the chance of one as far from 0 or farther if there is no
    /// difference: Student's t with one degree of freedom less than groups, two-sided. NaN where
    /// the standard error is NaN or, with a mean that is not 0, 0; of equal models t = 0, p = 1.
    double t = 0.0;
    double p_value = 1.0;
    std::size_t groups = 0;
};

/// `a` and `b`: sums of each group under two models. The same errors.
[[nodiscard]] PairedDifference paired_difference(std::span<const double> a,
                                                 std::span<const double> b,
                                                 std::span<const double> counts);

/// How far the 95 % interval of a mean goes to either side: Student's t with one degree of freedom
/// less than groups. NaN for fewer than two.
[[nodiscard]] double half_of_interval_95(double standard_error, std::size_t groups);

/// Right answers of two models to the same questions. McNemar's test: where they differ, is one
/// right more often than chance would have it? Exact, two-sided: twice the smaller tail of a
/// binomial distribution of 1/2, at most 1.
struct AnswerPairs {
    std::size_t both = 0;
    std::size_t only_a = 0;
    std::size_t only_b = 0;
    std::size_t neither = 0;
    double p_value = 1.0;  ///< 1 if they never differ
};

/// Whether each answer is right. @throws ShapeError  if the two differ in number
[[nodiscard]] AnswerPairs compare_answers(const std::vector<bool>& a, const std::vector<bool>& b);

}  // namespace lathe
