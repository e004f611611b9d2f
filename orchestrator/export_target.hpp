#pragma once

#include <filesystem>

#include "workers/checkpoint/compressed_checkpoint.hpp"

namespace lathe {

/// Makes the directory that a checkpoint is exported to, or empties it of the model in it.
///
/// A directory that holds something is refused, since what an older model left (an index, more
/// shards, an adapter) would be read in place of the new one or beside it. With `overwrite` weights
/// and side files in it are removed; so they are where an export was stopped. The model that the
/// checkpoint was made from, a checkpoint and a run directory are never overwritten.
/// @throws UsageError, IoError
void prepare_export_target(const CompressedCheckpoint& checkpoint,
                           const std::filesystem::path& target, bool overwrite);

/// Removes weights and side files of any model from a directory, which is made if it is not there.
/// @throws IoError
void clear_model(const std::filesystem::path& directory);

/// Says that the export is complete: a further one is refused as in any other directory.
void finish_export_target(const std::filesystem::path& target);

}  // namespace lathe
