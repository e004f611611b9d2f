#pragma once

#include <filesystem>
#include <memory>

#include "workers/exports/export_format.hpp"

namespace lathe {

/// Reads a directory in the format `pack-quantized` as its loaders do: config.json says which
/// modules have codes and how these are packed; a module that no exact target names is dense.
/// Refuses besides what loaders take and compute wrongly: layers of a unit under several schemes.
/// @throws MissingInputError, DataError
[[nodiscard]] std::unique_ptr<ExportReader> make_compressed_tensors_reader(
    const std::filesystem::path& directory);

}  // namespace lathe
