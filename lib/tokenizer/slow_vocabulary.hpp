#pragma once

#include <filesystem>

#include <nlohmann/json.hpp>

namespace lathe::tokenizer {

/// Of `vocab.json` {token: id} and `merges.txt`, a merge "left right" a line, the
/// {"vocab": ..., "merges": ...} of a model of a tokenizer.json.
/// @throws MissingInputError, DataError  naming file and line
[[nodiscard]] nlohmann::json read_vocab_and_merges(const std::filesystem::path& vocab,
                                                   const std::filesystem::path& merges);

/// Of `vocab.txt`, a token a line whose number is the id, the {"vocab": ...} of such a model. Of a
/// token that stands there twice the second line counts.
/// @throws MissingInputError, DataError
[[nodiscard]] nlohmann::json read_vocab_lines(const std::filesystem::path& vocab);

}  // namespace lathe::tokenizer
