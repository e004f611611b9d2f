#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "workers/checkpoint/compressed_checkpoint.hpp"
#include "workers/checkpoint/kept_neurons.hpp"

namespace lathe {

/// Largest file of an export: a rank holds one in memory.
inline constexpr std::uint64_t default_export_shard_bytes = 2'000'000'000;

/// How an export is cut into files: tensor indices of each shard, in the model's order.
struct ExportLayout {
    std::vector<DType> dtypes;  ///< of each tensor: the source's
    std::vector<std::vector<std::size_t>> shards;
    std::optional<KeptNeurons> kept;  ///< of a checkpoint that is exported as a smaller model

    /// "model.safetensors", or "model-00002-of-00007.safetensors".
    [[nodiscard]] std::string file_name(std::size_t shard) const;
};

/// Shards of at most `max_shard_bytes` (a larger tensor has one for itself). Each tensor has the
/// element type it had in the source.
[[nodiscard]] ExportLayout export_layout(const CompressedCheckpoint& checkpoint,
                                         std::uint64_t max_shard_bytes);

/// One shard of an export: `checkpoint`'s tensors, dequantised, in `directory`. Where the same
/// neurons are dropped everywhere, they are not written.
struct ExportTask {
    std::filesystem::path checkpoint;
    std::filesystem::path directory;
    std::uint64_t max_shard_bytes = 0;
    std::size_t shard = 0;
};

[[nodiscard]] std::string to_json(const ExportTask& task);
[[nodiscard]] ExportTask export_task_from_json(const std::string& text);
void run_export(const ExportTask& task);

/// What is not a shard: index (with several shards), config.json, without a section on
/// quantisation, and the other side files.
void write_export_frame(const CompressedCheckpoint& checkpoint, const ExportLayout& layout,
                        const std::filesystem::path& directory);

}  // namespace lathe
