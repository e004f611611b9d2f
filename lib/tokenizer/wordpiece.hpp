#pragma once

#include <string>

#include "lib/tokenizer/token_model.hpp"

namespace lathe::tokenizer {

/// WordPiece: the longest token that starts a word, then the longest that continues it, and so on.
/// A word that cannot be covered, or is too long, is one unknown token.
class WordPiece final : public TokenModel {
public:
    /// @throws DataError  also if the unknown token is not in the vocabulary
    explicit WordPiece(const JsonPlace& place);

    void tokenize(const PreTokenizedText& text, WordCache& cache,
                  std::vector<std::uint32_t>& ids) const override;
    [[nodiscard]] const Vocabulary& vocabulary() const override { return vocabulary_; }

private:
    void tokenize_word(std::string_view word, std::vector<std::uint32_t>& ids) const;

    Vocabulary vocabulary_;
    std::string prefix_;           // of tokens that continue a word: "##"
    std::size_t word_length_max_;  // in code points
    std::uint32_t unknown_id_;
};

}  // namespace lathe::tokenizer
