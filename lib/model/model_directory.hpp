#pragma once

#include <filesystem>

namespace lathe {

/// Checks that a path may be opened as a Hugging Face model directory, and if not says what it is
/// instead: an adapter, a run directory, a folder of checkpoints, another program's files.
/// @throws MissingInputError  nothing is there, or no config.json
/// @throws DataError          a file; the directory of something else
void require_model_directory(const std::filesystem::path& directory);

}  // namespace lathe
