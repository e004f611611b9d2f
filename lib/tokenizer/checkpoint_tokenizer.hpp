#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "lib/tokenizer/tokenizer_document.hpp"
#include "lib/tokenizer/tokenizer_files.hpp"
#include "lib/tokenizer/tokenizer_json.hpp"

namespace lathe::tokenizer {

/// What a tokenizer.json would hold that did alone what all files of the directory do together in
/// transformers 5.
/// @throws MissingInputError  no file has a vocabulary
/// @throws DataError          naming file, place and what is wrong or not supported
[[nodiscard]] DocumentSource combine_tokenizer_files(const TokenizerFiles& files);

/// Its special tokens that have names. @throws MissingInputError, DataError
[[nodiscard]] std::map<std::string, std::string> named_tokens_of(const TokenizerFiles& files);

/// The same of a tokenizer.model that stands alone. @throws MissingInputError, DataError
[[nodiscard]] DocumentSource document_of_sentencepiece(const std::filesystem::path& file);

}  // namespace lathe::tokenizer
