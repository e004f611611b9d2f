#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "lib/dataset/metrics.hpp"
#include "lib/dataset/multiple_choice.hpp"

namespace lathe {

/// The metrics of choice_table() from the log-likelihoods, log_likelihoods[example][option]:
/// `accuracy` takes the option with the highest sum, `accuracy_norm` the one with the highest sum
/// divided by its length; the first of equal ones. A question with a NaN counts as wrong, and an
/// option of length zero is never the one accuracy_norm takes.
/// @throws ShapeError  if the numbers of examples or options differ, or there is no example
[[nodiscard]] std::vector<Metric> choice_metrics(
    std::span<const std::string_view> names, std::span<const ChoiceExample> examples,
    std::span<const std::vector<double>> log_likelihoods);

/// Whether each question is answered rightly, as the metric of that name counts.
/// @throws ShapeError  as choice_metrics()
[[nodiscard]] std::vector<bool> right_choices(std::string_view metric,
                                              std::span<const ChoiceExample> examples,
                                              std::span<const std::vector<double>> log_likelihoods);

}  // namespace lathe
