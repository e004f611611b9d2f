#include "workers/evaluation/text_evaluation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
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
Perplexity perplexity_of(const TokenSequences& windows, const std::vector<double>& losses) {
    const auto tokens = static_cast<double>(windows.predicted_tokens());
    const double mean = sum(losses) / tokens;
    double squares = 0.0;
    for (std::size_t w = 0; w < losses.size(); ++w) {
        const double predicted = std::max(windows.lengths[w], 1U) - 1.0;
        const double residual = losses[w] - mean * predicted;
        squares += residual * residual;
    }
    const auto n = static_cast<double>(losses.size());
    const double error = losses.size() < 2 ? std::numeric_limits<double>::quiet_NaN()
                                           : std::sqrt(squares * n / (n - 1.0)) / tokens;
    return {std::exp(mean), std::exp(mean) * error};
}

}  // namespace

TextEvaluation::TextEvaluation(const TextQuestions& questions, const ModelSpec& spec,
                               const Tokenizer* tokenizer)
    : predicts_(spec.head == HeadKind::language_model) {
    const std::size_t length = std::min(
        questions.max_length > 0 ? questions.max_length : usual_window, spec.max_positions);
    if (!predicts_) {
        samples_ = first_of(read_texts(questions.files, tokenizer, spec, length), questions.limit);
        if (samples_.count() == 0) {
            throw DataError(names_of(questions.files) + ": no text to evaluate on");
        }
        return;
    }
    const auto stream = read_token_stream(questions.files, tokenizer, spec.vocab_size);
    samples_ = first_of(all_windows(stream, length), questions.limit);
    if (samples_.count() == 0) {
        throw DataError(names_of(questions.files) +
                        ": the text is too short: " + std::to_string(stream.size()) +
                        " tokens, one window has " + std::to_string(length));
    }
}

TextSummary TextEvaluation::summarise(const SampleLosses& losses) const {
    TextSummary summary;
    summary.sequences = samples_.count();
    summary.tokens = predicts_ ? samples_.predicted_tokens() : samples_.tokens();
    if (predicts_) {
        summary.perplexity = perplexity_of(samples_, losses.nll);
    }
    if (losses.kl.empty()) {
        return summary;
    }
    if (predicts_) {
        summary.reference_perplexity = perplexity_of(samples_, losses.reference_nll);
    }
    // The divergence is taken after every token, also after the last, whose successor is unknown.
    const auto rows = static_cast<double>(predicts_ ? samples_.tokens() : samples_.count());
    summary.kl = sum(losses.kl) / rows;
    summary.top1_agreement = sum(losses.agree) / rows;
    return summary;
}

}  // namespace lathe
