#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

/// How well a model does a task.
///
/// The standard error says how far the value would move on other examples of the same kind. For
/// `accuracy` it is that of a mean, sqrt(p (1 - p) / (n - 1)); for the others it is bootstrapped
/// (bootstrap.hpp). NaN stands for a number that is not defined: any standard error of a single
/// example, and what the functions below name.
struct Metric {
    std::string name;
    double value = 0.0;
    double standard_error = 0.0;
    std::size_t examples = 0;
};

using Labels = std::span<const std::uint32_t>;
using Scores = std::span<const double>;

// All of the following compare n > 0 predictions with n facts.
// @throws ShapeError  if the two differ in number, there are none, or a label is out of range

/// Share of right labels: "accuracy".
[[nodiscard]] Metric accuracy(Labels predicted, Labels actual);
/// The same from counts; `name` becomes the metric's.
[[nodiscard]] Metric accuracy_of_counts(std::string_view name, std::size_t n_right, std::size_t n);

/// Harmonic mean of precision and recall of label 1, labels being 0 and 1: "f1". Zero when label 1
/// is neither predicted nor there.
[[nodiscard]] Metric f1(Labels predicted, Labels actual);

/// Matthews' correlation of labels below 1000, for more than two of them in the form of Gorodkin
/// (2004): "matthews". Zero when all predictions are alike, or all facts.
[[nodiscard]] Metric matthews(Labels predicted, Labels actual);

/// Linear correlation, -1 to 1: "pearson". Not defined when a number is not finite, or when all
/// predictions are equal, or all facts.
[[nodiscard]] Metric pearson(Scores predicted, Scores actual);

/// Linear correlation of the ranks, equal numbers sharing the mean of their ranks: "spearman". Not
/// defined in the same cases.
[[nodiscard]] Metric spearman(Scores predicted, Scores actual);

/// The metrics of these names, in their order.
/// @throws InternalError  if a name is not one of accuracy, f1, matthews
[[nodiscard]] std::vector<Metric> label_metrics(std::span<const std::string_view> names,
                                                Labels predicted, Labels actual);
/// @throws InternalError  if a name is not one of pearson, spearman
[[nodiscard]] std::vector<Metric> score_metrics(std::span<const std::string_view> names,
                                                Scores predicted, Scores actual);

}  // namespace lathe
