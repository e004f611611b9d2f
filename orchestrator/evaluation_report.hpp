#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "workers/evaluation/task_evaluation.hpp"
#include "workers/evaluation/text_evaluation.hpp"

namespace lathe {

/// How a job's checkpoint does; the reference of all summaries is the source model.
struct EvaluationReport {
    /// The best uniform plan within the same budget, on the same windows.
    struct Uniform {
        std::string plan;  ///< Plan::origin
        TextSummary summary;
        TextComparison difference;  ///< of the checkpoint, less the uniform plan
        /// The search's own samples say that the checkpoint is better, this text that it is not.
        bool contradicts = false;
    };
    struct Text {
        std::string file;
        TextSummary summary;
        std::optional<Uniform> uniform;
    };
    struct Task {
        std::string name;
        std::string file;
        TaskSummary summary;
    };
    std::vector<Text> texts;
    std::vector<Task> tasks;
};

/// One object for each text, then for each task: docs/evaluation.md.
[[nodiscard]] nlohmann::json to_json(const EvaluationReport& report);
/// Lines of the table a job ends with.
[[nodiscard]] std::string to_text(const EvaluationReport& report);

/// The keys of a summary. Those of the reference model begin with `reference`: "source",
/// "reference". What is not defined is null, what does not apply is left out.
[[nodiscard]] nlohmann::json to_json(const TextSummary& summary, std::string_view reference);
[[nodiscard]] nlohmann::json to_json(const TaskSummary& summary, std::string_view reference);

/// mean, standard_error, t, p_value, groups.
[[nodiscard]] nlohmann::json to_json(const PairedDifference& difference);
/// What is summed over each window: nll and, with a reference model, kl, reference_nll, agree.
[[nodiscard]] nlohmann::json windows_json(const SampleLosses& losses);

/// nll and kl, as far as they are there.
[[nodiscard]] nlohmann::json to_json(const TextComparison& comparison);
/// both, only_model, only_OTHER, neither, p_value.
[[nodiscard]] nlohmann::json to_json(const AnswerPairs& answers, std::string_view other);
/// "+0.01234 +- 0.00123, t 10.0, p 2e-09, 64 windows".
[[nodiscard]] std::string to_text(const PairedDifference& difference);
/// "right alone 12 and 20 of 872, p 0.22".
[[nodiscard]] std::string to_text(const AnswerPairs& answers);

}  // namespace lathe
