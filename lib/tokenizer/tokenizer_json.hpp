#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include <nlohmann/json.hpp>

#include "lib/tokenizer/added_tokens.hpp"
#include "lib/tokenizer/tokenizer.hpp"

namespace lathe::tokenizer {

/// The content of a `tokenizer.json`, read or made.
struct DocumentSource {
    nlohmann::json root;
    std::string where;  ///< for messages
    SpecialTokensInText special_in_text = SpecialTokensInText::found;
};

/// Makes what a `tokenizer.json` of the Hugging Face `tokenizers` library describes: added tokens,
/// normalizer, pre-tokenizer, model (BPE, Unigram, WordLevel or WordPiece), post-processor and
/// decoder. Its "truncation" and "padding" are left aside: the caller says how long a text may be.
/// @throws DataError  naming file, place, and what is wrong or not supported
[[nodiscard]] std::unique_ptr<Tokenizer> make_tokenizer(const DocumentSource& source);

/// The same from a file. @throws MissingInputError  if there is no such file
[[nodiscard]] std::unique_ptr<Tokenizer> load_json_tokenizer(const std::filesystem::path& file);

}  // namespace lathe::tokenizer
