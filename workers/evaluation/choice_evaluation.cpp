#include "workers/evaluation/choice_evaluation.hpp"

#include <algorithm>
#include <numeric>

#include "lib/core/errors.hpp"
#include "lib/dataset/choice_metrics.hpp"

namespace lathe {
namespace {

/// The option of the highest log-likelihood, the first of equal ones.
std::size_t answer(const std::vector<double>& options) {
    return static_cast<std::size_t>(std::ranges::max_element(options) - options.begin());
}

}  // namespace

ChoiceEvaluation::ChoiceEvaluation(const DatasetTask& task, std::vector<ChoiceExample> examples,
                                   const Tokenizer& tokenizer, std::size_t max_length)
    : task_(task), examples_(std::move(examples)) {
    for (std::size_t e = 0; e < examples_.size(); ++e) {
        for (std::size_t o = 0; o < examples_[e].contexts.size(); ++o) {
            add_option(examples_[e].contexts[o], examples_[e].continuations[o], tokenizer,
                       max_length,
                       "example " + std::to_string(e + 1) + ", option " + std::to_string(o + 1));
        }
    }
}

void ChoiceEvaluation::add_option(const std::string& context, const std::string& continuation,
                                  const Tokenizer& tokenizer, std::size_t max_length,
                                  const std::string& where) {
    const std::vector<std::uint32_t> whole = tokenizer.encode(context + continuation, false);
    const std::size_t n_context = tokenizer.encode(context, false).size();
    if (n_context == 0 || n_context >= whole.size()) {
        throw DataError(where + ": " + std::to_string(whole.size()) + " tokens, " +
                        std::to_string(n_context) +
                        " of them the context's; expected both a context and a continuation");
    }
    // Nothing follows the last token, so the model need not see it.
    const std::size_t n_seen = std::min(whole.size() - 1, max_length);
    const std::size_t n_targets = std::min(whole.size() - n_context, n_seen);
    n_cut_ += n_seen < whole.size() - 1 ? 1 : 0;
    const auto seen = std::span(whole).first(whole.size() - 1).last(n_seen);
    const auto targets = std::span(whole).last(n_targets);
    sequences_.samples.append(seen);
    sequences_.n_targets.push_back(static_cast<std::uint32_t>(n_targets));
    sequences_.targets.insert(sequences_.targets.end(), targets.begin(), targets.end());
}

TaskSummary ChoiceEvaluation::summarise(const SequenceScores& scores) const {
    const auto own = by_example(scores.values);
    TaskSummary summary;
    summary.examples = examples_.size();
    summary.n_cut = n_cut_;
    summary.metrics = choice_metrics(task_.metrics, examples_, own);
    if (!scores.kl.empty()) {
        summary.kl = std::accumulate(scores.kl.begin(), scores.kl.end(), 0.0) /
                     static_cast<double>(sequences_.targets.size());
    }
    if (!scores.reference_values.empty()) {
        const auto others = by_example(scores.reference_values);
        summary.reference_metrics = choice_metrics(task_.metrics, examples_, others);
        std::size_t same = 0;
        for (std::size_t e = 0; e < own.size(); ++e) {
            same += answer(own[e]) == answer(others[e]) ? 1 : 0;
        }
        summary.top1_agreement = static_cast<double>(same) / static_cast<double>(examples_.size());
        const std::string_view usual = task_.metrics.front();
        summary.answers = compare_answers(right_choices(usual, examples_, own),
                                          right_choices(usual, examples_, others));
    }
    return summary;
}

std::vector<std::vector<double>> ChoiceEvaluation::by_example(
    const std::vector<double>& values) const {
    std::vector<std::vector<double>> lists;
    auto next = values.begin();
    for (const ChoiceExample& example : examples_) {
        const auto n_options = static_cast<std::ptrdiff_t>(example.contexts.size());
        lists.emplace_back(next, next + n_options);
        next += n_options;
    }
    return lists;
}

}  // namespace lathe
