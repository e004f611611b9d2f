#pragma once

#include <memory>
#include <string>
#include <vector>

#include "workers/evaluation/task_evaluation.hpp"
#include "workers/evaluation/text_evaluation.hpp"
#include "workers/job/job_context.hpp"

namespace lathe {

/// Everything a job evaluates its checkpoint on at the end (section `evaluate`), read and
/// tokenised: before any work is done, so that a mistake in it does not show after hours.
struct JobQuestions {
    struct Text {
        std::string file;
        TextEvaluation evaluation;
    };
    struct Task {
        std::string name;
        std::string file;
        std::unique_ptr<TaskEvaluation> evaluation;
    };
    std::vector<Text> texts;
    std::vector<Task> tasks;

    /// @throws UsageError         unknown task, with its place in the job file
    /// @throws MissingInputError  no such file; no tokenizer
    /// @throws DataError          bad data; a task for models of another kind
    [[nodiscard]] static JobQuestions read(const JobContext& context);

    /// Of all texts and tasks together.
    [[nodiscard]] std::size_t n_tokens() const;
    /// How many tasks for the ranks they make.
    [[nodiscard]] std::size_t n_chunks() const;
};

}  // namespace lathe
