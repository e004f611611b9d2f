#pragma once

#include <filesystem>
#include <memory>

#include "lib/tokenizer/tokenizer.hpp"

namespace lathe::tokenizer {

/// Reads a `tokenizer.json` of the Hugging Face `tokenizers` library: added tokens, normalizer,
/// pre-tokenizer, model (BPE or WordPiece), post-processor and decoder. Its "truncation" and
/// "padding" are ignored: the caller says how long a text may be.
/// @throws MissingInputError  if there is no such file
/// @throws DataError          naming file, place, and what is wrong or not supported
[[nodiscard]] std::unique_ptr<Tokenizer> load_json_tokenizer(const std::filesystem::path& file);

}  // namespace lathe::tokenizer
