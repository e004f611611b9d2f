#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "workers/evaluation/task_evaluation.hpp"
#include "workers/evaluation/text_evaluation.hpp"

namespace lathe {

/// How a job's checkpoint does; the reference of all summaries is the source model.
struct EvaluationReport {
    struct Text {
        std::string file;
        TextSummary summary;
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

}  // namespace lathe
