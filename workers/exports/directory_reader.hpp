#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "lib/checkpoint/safetensors.hpp"
#include "workers/exports/export_format.hpp"

namespace lathe {

// What readers of Hugging Face directories have in common when they look whether an export is what
// it should be.

/// Tensors that are there and not in `expected`, or the other way round; a sentence each.
[[nodiscard]] std::vector<std::string> wrong_names(const SafetensorsCheckpoint& files,
                                                   const std::set<std::string>& expected);

/// Files without the metadata {"format": "pt"}, which older loaders fail over.
[[nodiscard]] std::vector<std::string> wrong_metadata(const SafetensorsCheckpoint& files);

/// Side files that are not those of the checkpoint byte for byte, apart from config.json; of
/// tokenizer_config.json the class may differ.
[[nodiscard]] std::vector<std::string> wrong_side_files(const ExportedModel& model,
                                                        const std::filesystem::path& directory);

/// Keys of config.json that say something else than the model's, apart from `own`, which the format
/// adds, and sections on quantisation.
[[nodiscard]] std::vector<std::string> wrong_config(const ExportedModel& model,
                                                    nlohmann::json config,
                                                    const std::set<std::string>& own);

/// The tensor `name`, which must have floating numbers in the source's shape.
/// @throws DataError
[[nodiscard]] ReadTensor read_dense(const SafetensorsCheckpoint& files, const ExportedModel& model,
                                    std::size_t tensor);

/// config.json of a directory. @throws MissingInputError, DataError
[[nodiscard]] nlohmann::json read_config(const std::filesystem::path& directory);

}  // namespace lathe
