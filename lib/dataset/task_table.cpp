#include "lib/dataset/task_table.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "lib/core/errors.hpp"
#include "lib/dataset/glue_table.hpp"
#include "lib/dataset/message.hpp"
#include "lib/dataset/multiple_choice.hpp"

namespace lathe {

std::span<const DatasetTask> task_table() {
    static const std::vector<DatasetTask> rows = [] {
        std::vector<DatasetTask> all;
        for (const GlueTask& task : glue_table()) {
            all.push_back({task.name,
                           task.labels.empty() ? TaskKind::sentence_regression
                                               : TaskKind::sentence_classification,
                           task.metrics});
        }
        for (const ChoiceTask& task : choice_table()) {
            all.push_back({task.name, TaskKind::multiple_choice, task.metrics});
        }
        return all;
    }();
    return rows;
}

const DatasetTask& find_task(std::string_view name) {
    const auto rows = task_table();
    const auto row = std::ranges::find(rows, name, &DatasetTask::name);
    if (row != rows.end()) return *row;
    std::vector<std::string_view> known;
    for (const DatasetTask& task : rows) known.push_back(task.name);
    throw UsageError("unknown task " + in_quotes(name) + "; known: " + listed(known));
}

}  // namespace lathe
