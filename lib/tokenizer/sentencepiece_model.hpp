#pragma once

#include <filesystem>
#include <memory>

#include "lib/tokenizer/tokenizer.hpp"

namespace lathe::tokenizer {

/// Reads a `tokenizer.model` of SentencePiece. The only special token around a text is the model's
/// BOS in front, as with Llama; there is no EOS. Control symbols written out in the text ("<s>")
/// are plain text to SentencePiece; its user-defined symbols are recognised.
/// @throws MissingInputError  if there is no such file
/// @throws DataError          if it is not such a model
[[nodiscard]] std::unique_ptr<Tokenizer> load_sentencepiece_tokenizer(
    const std::filesystem::path& file);

}  // namespace lathe::tokenizer
