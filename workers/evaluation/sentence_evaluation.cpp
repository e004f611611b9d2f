#include "workers/evaluation/sentence_evaluation.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lib/dataset/label_names.hpp"

namespace lathe {
namespace {

/// -log softmax(logits)[index].
double cross_entropy(std::span<const double> logits, std::size_t index) {
    const double largest = std::ranges::max(logits);
    double sum = 0.0;
    for (const double logit : logits) {
        sum += std::exp(logit - largest);
    }
    return std::log(sum) + largest - logits[index];
}

double mean(std::span<const double> values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

SentenceEvaluation::SentenceEvaluation(const GlueTask& task, std::vector<LabelledText> examples,
                                       const ModelSpec& spec, const Tokenizer& tokenizer,
                                       std::size_t max_length)
    : task_(task),
      examples_(std::move(examples)),
      label_of_output_(map_model_labels(task, spec.labels)) {
    for (const LabelledText& example : examples_) {
        sequences_.samples.append(
            encode_texts({example.first, example.second}, spec, tokenizer, max_length));
    }
}

TaskSummary SentenceEvaluation::summarise(const SequenceScores& scores) const {
    const auto summarise_outputs = [this](const std::vector<double>& outputs) {
        return task_.labels.empty() ? summarise_scores(outputs) : summarise_labels(outputs);
    };
    TaskSummary summary = summarise_outputs(scores.values);
    summary.examples = examples_.size();
    if (!scores.reference_values.empty()) {
        TaskSummary reference = summarise_outputs(scores.reference_values);
        summary.reference_metrics = std::move(reference.metrics);
        summary.reference_loss = reference.loss;
    }
    if (!scores.kl.empty()) {
        summary.kl = mean(scores.kl);
    }
    if (!scores.reference_values.empty() && !task_.labels.empty()) {
        const auto own = predictions(scores.values);
        const auto others = predictions(scores.reference_values);
        const auto same = std::transform_reduce(own.begin(), own.end(), others.begin(), 0.0,
                                                std::plus<>(), std::equal_to<>());
        summary.top1_agreement = same / static_cast<double>(examples_.size());
        summary.answers = compare_answers(rights(own), rights(others));
    }
    return summary;
}

TaskSummary SentenceEvaluation::summarise_scores(const std::vector<double>& outputs) const {
    std::vector<double> facts;
    std::vector<double> squares;
    for (std::size_t i = 0; i < examples_.size(); ++i) {
        facts.push_back(examples_[i].score);
        squares.push_back((outputs[i] - facts[i]) * (outputs[i] - facts[i]));
    }
    TaskSummary summary;
    summary.metrics = score_metrics(task_.metrics, outputs, facts);
    summary.loss = mean(squares);
    return summary;
}

TaskSummary SentenceEvaluation::summarise_labels(const std::vector<double>& logits) const {
    const std::size_t width = label_of_output_.size();
    std::vector<std::uint32_t> facts;
    std::vector<double> losses;
    for (std::size_t i = 0; i < examples_.size(); ++i) {
        facts.push_back(examples_[i].label);
        const auto output = std::ranges::find(label_of_output_, examples_[i].label);
        losses.push_back(
            cross_entropy(std::span(logits).subspan(i * width, width),
                          static_cast<std::size_t>(output - label_of_output_.begin())));
    }
    TaskSummary summary;
    summary.metrics = label_metrics(task_.metrics, predictions(logits), facts);
    summary.loss = mean(losses);
    return summary;
}

std::vector<bool> SentenceEvaluation::rights(const std::vector<std::uint32_t>& predictions) const {
    std::vector<bool> rights;
    for (std::size_t i = 0; i < examples_.size(); ++i) {
        rights.push_back(predictions[i] == examples_[i].label);
    }
    return rights;
}

std::vector<std::uint32_t> SentenceEvaluation::predictions(
    const std::vector<double>& logits) const {
    const std::size_t width = label_of_output_.size();
    std::vector<std::uint32_t> result;
    for (std::size_t i = 0; i < examples_.size(); ++i) {
        const auto row = std::span(logits).subspan(i * width, width);
        const auto output = std::ranges::max_element(row) - row.begin();
        result.push_back(label_of_output_[static_cast<std::size_t>(output)]);
    }
    return result;
}

}  // namespace lathe
