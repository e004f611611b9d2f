#pragma once

#include <vector>

#include "lib/dataset/glue.hpp"
#include "lib/dataset/glue_table.hpp"
#include "workers/evaluation/task_evaluation.hpp"

namespace lathe {

/// A task of GLUE on a classifier.
class SentenceEvaluation final : public TaskEvaluation {
public:
    /// @throws UsageError, DataError
    SentenceEvaluation(const GlueTask& task, std::vector<LabelledText> examples,
                       const ModelSpec& spec, const Tokenizer& tokenizer, std::size_t max_length);
    [[nodiscard]] TaskSummary summarise(const SequenceScores& scores) const override;

private:
    [[nodiscard]] TaskSummary summarise_scores(const std::vector<double>& outputs) const;
    [[nodiscard]] TaskSummary summarise_labels(const std::vector<double>& logits) const;
    [[nodiscard]] std::vector<std::uint32_t> predictions(const std::vector<double>& logits) const;
    [[nodiscard]] std::vector<bool> rights(const std::vector<std::uint32_t>& predictions) const;

    const GlueTask& task_;
    std::vector<LabelledText> examples_;
    std::vector<std::uint32_t> label_of_output_;
};

}  // namespace lathe
