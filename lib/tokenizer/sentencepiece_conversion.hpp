#pragma once

#include <vector>

#include <nlohmann/json.hpp>

#include "lib/tokenizer/sentencepiece_model.hpp"
#include "lib/tokenizer/tokenizer_settings.hpp"

namespace lathe::tokenizer {

/// The model and components of a tokenizer.json that encodes as the SentencePiece model itself does
/// (the generic class). `settings` may rename pieces (added_tokens_decoder) and says whether a text
/// behind an added token begins a new one ("legacy").
[[nodiscard]] nlohmann::json convert_sentencepiece(const SentencePieceModel& model,
                                                   const TokenizerSettings& settings);

/// {"vocab": ..., "merges": ...}: each piece can be merged from any two others that make it, in the
/// order of ids. This is what the class of Llama makes of a model.
[[nodiscard]] nlohmann::json bpe_of_pieces(const SentencePieceModel& model);

/// {"vocab": [[piece, score], ...]}
[[nodiscard]] nlohmann::json scored_pieces(const SentencePieceModel& model);

/// The normalizer that rewrites characters as the model does; null if it rewrites none.
[[nodiscard]] nlohmann::json character_normalizer(const SentencePieceModel& model);

/// The control tokens and, if asked for, the user-defined ones, as added tokens.
[[nodiscard]] std::vector<TokenDeclaration> added_pieces(const SentencePieceModel& model,
                                                         bool with_user_defined);

}  // namespace lathe::tokenizer
