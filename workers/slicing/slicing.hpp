#pragma once

#include <optional>
#include <string>
#include <vector>

#include "workers/job/job_context.hpp"

namespace lathe {

/// Writes the tensors of one block, or what stands outside the blocks, into the sliced model's
/// directory (RunDirectory::sliced()): one safetensors file.
struct SliceTask {
    std::optional<std::size_t> block;
    std::vector<std::size_t> widths;
};
[[nodiscard]] std::string to_json(const SliceTask& task);
[[nodiscard]] SliceTask slice_task_from_json(const std::string& text);
void run_slicing(const JobContext& context, const SliceTask& task);

/// "model-00004-of-00008.safetensors": the file of a block.
[[nodiscard]] std::string sliced_file(const ModelSpec& spec, std::optional<std::size_t> block);

/// What is not a tensor file: config.json, slicing.json, tokenizer files and, last, the index.
void write_sliced_frame(const JobContext& context, const std::vector<std::size_t>& widths);

}  // namespace lathe
