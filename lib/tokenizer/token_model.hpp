#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "lib/tokenizer/json_place.hpp"
#include "lib/tokenizer/pre_tokenized_text.hpp"
#include "lib/tokenizer/vocabulary.hpp"
#include "lib/tokenizer/word_cache.hpp"

namespace lathe::tokenizer {

/// Breaks words into tokens of a vocabulary.
class TokenModel {
public:
    virtual ~TokenModel() = default;
    /// Appends the ids of all words of `text` to `ids`. `cache` is one that only this model filled.
    /// @throws DataError  if a character is unknown and the unknown token is not in the vocabulary
    virtual void tokenize(const PreTokenizedText& text, WordCache& cache,
                          std::vector<std::uint32_t>& ids) const = 0;
    [[nodiscard]] virtual const Vocabulary& vocabulary() const = 0;
};

/// `place` is the "model" of a tokenizer file. Old files have no "type" there; it then follows from
/// the settings. @throws DataError
[[nodiscard]] std::unique_ptr<TokenModel> read_token_model(const JsonPlace& place);

}  // namespace lathe::tokenizer
