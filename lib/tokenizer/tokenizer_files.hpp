#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace lathe::tokenizer {

/// The JSON files of a checkpoint directory that say what its tokenizer is, each null if absent.
/// `JsonFile::where` is for messages.
struct JsonFile {
    nlohmann::json value;
    std::string where;
};
struct TokenizerFiles {
    std::filesystem::path directory;
    JsonFile config;              ///< config.json
    JsonFile tokenizer;           ///< tokenizer.json
    JsonFile tokenizer_config;    ///< tokenizer_config.json
    JsonFile special_tokens_map;  ///< special_tokens_map.json
    JsonFile added_tokens;        ///< added_tokens.json

    [[nodiscard]] bool has(std::string_view name) const;
};

/// @throws DataError  a file is not JSON, or no object
[[nodiscard]] TokenizerFiles read_tokenizer_files(const std::filesystem::path& directory);

/// Names of the files that may hold the tokens themselves, the first that is there being read.
[[nodiscard]] std::span<const std::string_view> vocabulary_file_names();

}  // namespace lathe::tokenizer
