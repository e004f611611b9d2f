#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "lib/job/candidate.hpp"
#include "workers/job/job_context.hpp"

namespace lathe {

/// Writes one shard: every tensor of `block` (none: outside the blocks) under the plan, as a group
/// named by the tensor.
struct AssemblyTask {
    std::optional<std::size_t> block;
    std::vector<Setting> choice;
    std::string refined;              ///< Plan::refined
    std::filesystem::path directory;  ///< of the checkpoint
    std::string fingerprint;
};

[[nodiscard]] std::string to_json(const AssemblyTask& task);
[[nodiscard]] AssemblyTask assembly_task_from_json(const std::string& text);
void run_assembly(const JobContext& context, const AssemblyTask& task);

/// What a shard holds, for the checkpoint's hash and the report.
struct ShardTensor {
    std::string name;
    std::string encoding;
    std::string content_hash;
    auto operator<=>(const ShardTensor&) const = default;
};
[[nodiscard]] std::vector<ShardTensor> list_shard(const std::filesystem::path& file);

/// Hash over all tensors' names, encodings and content hashes, sorted by name.
[[nodiscard]] std::string checkpoint_hash(std::vector<ShardTensor> tensors);

}  // namespace lathe
