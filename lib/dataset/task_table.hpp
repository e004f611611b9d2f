#pragma once

#include <span>
#include <string_view>

namespace lathe {

enum class TaskKind {
    sentence_classification,  ///< a label for a sentence or a pair: read_glue()
    sentence_regression,      ///< a score for a pair: read_glue()
    multiple_choice,          ///< the likeliest of some continuations: read_multiple_choice()
};

/// A task a model is evaluated on.
struct DatasetTask {
    std::string_view name;
    TaskKind kind;
    std::span<const std::string_view> metrics;  ///< names as in Metric, the usual one first
};

/// Every task, in the order of the tables of GLUE (glue_table.cpp) and of multiple choice
/// (multiple_choice.cpp). Adding a task is a row there.
[[nodiscard]] std::span<const DatasetTask> task_table();

/// @throws UsageError  naming the task and the known ones
[[nodiscard]] const DatasetTask& find_task(std::string_view name);

}  // namespace lathe
