#include "workers/evaluation/text_evaluation.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

constexpr std::size_t usual_window = 2048;

std::string names_of(const std::vector<std::filesystem::path>& files) {
    std::string names;
    for (const std::filesystem::path& file : files) {
        names += (names.empty() ? "" : ", ") + file.string();
    }
    return names;
}

TokenSequences first_of(const TokenSequences& all, std::size_t limit) {
    if (limit == 0 || limit >= all.count()) {
        return all;
    }
    const auto end = all.lengths.begin() + static_cast<std::ptrdiff_t>(limit);
    return all.part({0, limit, 0, std::accumulate(all.lengths.begin(), end, std::size_t{0})});
}

template <class Values>
double sum(const Values& values) {
    return std::accumulate(values.begin(), values.end(), 0.0);
}

/// `losses`: of each window, the sum over its predicted tokens.
Perplexity perplexity_of(const std::vector<double>& losses, const std::vector<double>& predicted) {
    const GroupMean mean = mean_of_groups(losses, predicted);
    return {std::exp(mean.value), std::exp(mean.value) * mean.standard_error};
}

}  // namespace

TextEvaluation::TextEvaluation(const TextQuestions& questions, const ModelSpec& spec,
                               const TextReader& reader)
    : predicts_(spec.head == HeadKind::language_model) {
    const std::size_t length = std::min(
        questions.max_length > 0 ? questions.max_length : usual_window, spec.max_positions);
    if (!predicts_) {
        samples_ = first_of(read_texts(questions.files, reader, spec, length), questions.limit);
        if (samples_.count() == 0) {
            throw DataError(names_of(questions.files) + ": no text to evaluate on");
        }
        return;
    }
    const auto stream = read_token_stream(questions.files, reader, spec.vocab_size);
    samples_ = first_of(all_windows(stream, length), questions.limit);
    if (samples_.count() == 0) {
        throw DataError(names_of(questions.files) +
                        ": the text is too short: " + std::to_string(stream.size()) +
                        " tokens, one window has " + std::to_string(length));
    }
}

std::vector<double> TextEvaluation::predicted_tokens() const {
    std::vector<double> counts;
    for (const std::uint32_t length : samples_.lengths) {
        counts.push_back(std::max(length, 1U) - 1.0);
    }
    return counts;
}

std::vector<double> TextEvaluation::head_rows() const {
    return predicts_ ? std::vector<double>(samples_.lengths.begin(), samples_.lengths.end())
                     : std::vector<double>(samples_.count(), 1.0);
}

TextSummary TextEvaluation::summarise(const SampleLosses& losses) const {
    TextSummary summary;
    summary.sequences = samples_.count();
    summary.tokens = predicts_ ? samples_.predicted_tokens() : samples_.tokens();
    const std::vector<double> predicted = predicted_tokens();
    if (predicts_) {
        summary.perplexity = perplexity_of(losses.nll, predicted);
    }
    if (losses.kl.empty()) {
        return summary;
    }
    if (predicts_) {
        summary.reference_perplexity = perplexity_of(losses.reference_nll, predicted);
        summary.nll_difference = paired_difference(losses.nll, losses.reference_nll, predicted);
    }
    const std::vector<double> rows = head_rows();
    summary.kl = mean_of_groups(losses.kl, rows);
    summary.top1_agreement = sum(losses.agree) / sum(rows);
    return summary;
}

TextComparison TextEvaluation::compare(const SampleLosses& a, const SampleLosses& b) const {
    TextComparison comparison;
    if (predicts_) {
        comparison.nll = paired_difference(a.nll, b.nll, predicted_tokens());
    }
    if (!a.kl.empty() && !b.kl.empty()) {
        comparison.kl = paired_difference(a.kl, b.kl, head_rows());
    }
    return comparison;
}

}  // namespace lathe
