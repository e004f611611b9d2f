#include "lib/dataset/choice_metrics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string>

#include "lib/core/errors.hpp"
#include "lib/dataset/message.hpp"

namespace lathe {
namespace {

/// Index of the highest score, the first of equal ones; none if one is NaN.
std::optional<std::size_t> best(const std::vector<double>& scores) {
    if (std::ranges::any_of(scores, [](double score) { return std::isnan(score); })) {
        return std::nullopt;
    }
    return static_cast<std::size_t>(std::ranges::max_element(scores) - scores.begin());
}

std::vector<double> per_character(std::vector<double> scores, const ChoiceExample& example) {
    for (std::size_t i = 0; i < scores.size(); ++i) {
        scores[i] = example.lengths[i] == 0 ? -std::numeric_limits<double>::infinity()
                                            : scores[i] / static_cast<double>(example.lengths[i]);
    }
    return scores;
}

void require_matching(std::span<const ChoiceExample> examples,
                      std::span<const std::vector<double>> log_likelihoods) {
    if (examples.size() != log_likelihoods.size()) {
        throw ShapeError("choice_metrics: " + std::to_string(examples.size()) + " examples, " +
                         std::to_string(log_likelihoods.size()) + " lists of log-likelihoods");
    }
    for (std::size_t i = 0; i < examples.size(); ++i) {
        if (log_likelihoods[i].empty() || log_likelihoods[i].size() != examples[i].lengths.size()) {
            throw ShapeError("choice_metrics: example " + std::to_string(i) + " has " +
                             std::to_string(examples[i].lengths.size()) + " options, " +
                             std::to_string(log_likelihoods[i].size()) + " log-likelihoods");
        }
    }
}

}  // namespace

std::vector<bool> right_choices(std::string_view metric, std::span<const ChoiceExample> examples,
                                std::span<const std::vector<double>> log_likelihoods) {
    require_matching(examples, log_likelihoods);
    const bool norm = metric == "accuracy_norm";
    if (!norm && metric != "accuracy") {
        throw InternalError("choice_metrics: no metric " + in_quotes(metric));
    }
    std::vector<bool> right;
    for (std::size_t i = 0; i < examples.size(); ++i) {
        const std::vector<double>& sums = log_likelihoods[i];
        right.push_back(best(norm ? per_character(sums, examples[i]) : sums) == examples[i].answer);
    }
    return right;
}

std::vector<Metric> choice_metrics(std::span<const std::string_view> names,
                                   std::span<const ChoiceExample> examples,
                                   std::span<const std::vector<double>> log_likelihoods) {
    require_matching(examples, log_likelihoods);
    std::vector<Metric> metrics;
    for (const std::string_view name : names) {
        const std::vector<bool> right = right_choices(name, examples, log_likelihoods);
        const auto n_right = static_cast<std::size_t>(std::ranges::count(right, true));
        metrics.push_back(accuracy_of_counts(name, n_right, examples.size()));
    }
    return metrics;
}

}  // namespace lathe
