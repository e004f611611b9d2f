#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/dataset/metrics.hpp"
#include "lib/dataset/paired.hpp"
#include "lib/model/model_spec.hpp"
#include "lib/tokenizer/tokenizer.hpp"
#include "workers/evaluation/scoring.hpp"

namespace lathe {

/// How a model did.
struct TaskSummary {
    std::vector<Metric> metrics;  ///< of the task, the usual one first
    std::size_t examples = 0;
    std::size_t n_cut = 0;  ///< multiple choice: options that lost their beginning
    /// Sentence tasks: mean cross-entropy of the labels in nats, or mean squared error of the
    /// score.
    std::optional<double> loss;
    // With a reference model only:
    std::vector<Metric> reference_metrics;  ///< its own, in the same order
    std::optional<double> reference_loss;
    std::optional<double> kl;  ///< mean divergence from it, per example or per token of an option
    /// Share of examples to which both give the same answer; none for a score.
    std::optional<double> top1_agreement;
    /// Right answers of the model (a) and the reference (b); none for a score. Of multiple choice
    /// those that the first metric counts.
    std::optional<AnswerPairs> answers;
};

/// A task's examples as sequences to score, and the results from the scores.
///
/// Sentence tasks (GLUE): the text or pair with the tokenizer's special tokens, cut as
/// Tokenizer::encode_within() and encode_pair() do. The answer is the label of the largest output,
/// the first of equal ones, its meaning found by map_model_labels(); for a score the output itself.
///
/// Multiple choice: a sequence for each option, tokenised as by EleutherAI/lm-evaluation-harness:
/// context and continuation together, without special tokens (its `add_bos_token` is off by
/// default); the continuation is the tokens beyond those of the context alone. A sequence that is
/// too long loses its beginning. The score of an option is the log-likelihood of its continuation,
/// or of as much of it as is left.
class TaskEvaluation {
public:
    virtual ~TaskEvaluation() = default;
    [[nodiscard]] const ScoredSequences& sequences() const { return sequences_; }
    /// `scores` of all sequences(), in their order.
    [[nodiscard]] virtual TaskSummary summarise(const SequenceScores& scores) const = 0;

protected:
    ScoredSequences sequences_;
};

}  // namespace lathe
