#pragma once

#include <filesystem>
#include <memory>

#include "workers/exports/export_format.hpp"

namespace lathe {

/// Reads a directory as mlx-lm does: a module that "quantization" of config.json names has codes.
/// Values are computed in float32. @throws MissingInputError, DataError
[[nodiscard]] std::unique_ptr<ExportReader> make_mlx_reader(const std::filesystem::path& directory);

}  // namespace lathe
