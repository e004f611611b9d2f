#pragma once

#include <filesystem>

#include "workers/checkpoint/model_to_run.hpp"

namespace lathe {

/// Runs the model on `input_ids` [n, length] of an HDF5 file (each row as far as its
/// `attention_mask`, where there is one) and writes `logits` [n, length, V], of a classifier
/// [n, labels], to another; with `hidden` also `hidden` [n_blocks + 1, n, length, hidden_size]:
/// what enters the first block and each block's output, the last one after the final norm. What
/// belongs to masked tokens is 0.
void write_logits(const ModelToRun& model, const kernels::Backend& backend,
                  const std::filesystem::path& ids_file, const std::filesystem::path& output,
                  bool hidden);

}  // namespace lathe
