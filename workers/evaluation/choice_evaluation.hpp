#pragma once

#include <string>
#include <vector>

#include "lib/dataset/multiple_choice.hpp"
#include "lib/dataset/task_table.hpp"
#include "workers/evaluation/task_evaluation.hpp"

namespace lathe {

/// A multiple-choice task on a language model.
class ChoiceEvaluation final : public TaskEvaluation {
public:
    /// @throws DataError  naming the example whose context or continuation has no token
    ChoiceEvaluation(const DatasetTask& task, std::vector<ChoiceExample> examples,
                     const Tokenizer& tokenizer, std::size_t max_length);
    [[nodiscard]] TaskSummary summarise(const SequenceScores& scores) const override;

private:
    void add_option(const std::string& context, const std::string& continuation,
                    const Tokenizer& tokenizer, std::size_t max_length, const std::string& where);
    /// One list of log-likelihoods for each example.
    [[nodiscard]] std::vector<std::vector<double>> by_example(
        const std::vector<double>& values) const;

    DatasetTask task_;
    std::vector<ChoiceExample> examples_;
    std::size_t n_cut_ = 0;
};

}  // namespace lathe
