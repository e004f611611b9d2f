#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lib/dataset/glue_table.hpp"

namespace lathe {

/// The task's label for each output of a classifier: result[output] is an index into
/// GlueTask::labels. `model_labels` are the model's names of its outputs, in order (`id2label` of
/// config.json).
///
/// Models of one task disagree about the order, of MNLI above all: some begin with contradiction.
/// So outputs are matched by name when every name is one of the task's words (upper and lower case,
/// `-`, `_` and space are the same). Otherwise the names say nothing ("LABEL_0"), and the order of
/// the task is taken: a model with another order and no names then scores below chance.
///
/// A regression has one output, and the result is {0}.
/// @throws DataError  if the model has another number of outputs than the task has labels, or one
///                    word names two outputs
[[nodiscard]] std::vector<std::uint32_t> map_model_labels(
    const GlueTask& task, std::span<const std::string> model_labels);

}  // namespace lathe
