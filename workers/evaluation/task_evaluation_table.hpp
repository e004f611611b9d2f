#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>

#include "lib/model/model_spec.hpp"
#include "lib/tokenizer/tokenizer.hpp"
#include "workers/evaluation/task_evaluation.hpp"

namespace lathe {

/// What to ask a model.
struct TaskQuestions {
    std::string task;  ///< a name of task_table() (lib/dataset)
    std::filesystem::path data;
    std::size_t limit = 0;       ///< number of examples, from the first on; 0: all
    std::size_t max_length = 0;  ///< tokens of a sequence; 0: 128 for GLUE, else what the model
                                 ///< can do, 2048 at most
};

/// `tokenizer`: the model's; null if it has none.
/// @throws UsageError         unknown task, or a max_length without room for special tokens
/// @throws MissingInputError  no such data; no tokenizer
/// @throws DataError          the model's head is of another kind, or has other labels; bad data
[[nodiscard]] std::unique_ptr<TaskEvaluation> make_task_evaluation(const TaskQuestions& questions,
                                                                   const ModelSpec& spec,
                                                                   const Tokenizer* tokenizer);

}  // namespace lathe
