#pragma once

#include <string>

#include "lib/tokenizer/token_model.hpp"

namespace lathe::tokenizer {

/// A token for each whole word; a word that is not in the vocabulary is the unknown token.
class WordLevel final : public TokenModel {
public:
    explicit WordLevel(const JsonPlace& place);

    void tokenize(const PreTokenizedText& text, WordCache& cache,
                  std::vector<std::uint32_t>& ids) const override;
    [[nodiscard]] const Vocabulary& vocabulary() const override { return vocabulary_; }

private:
    Vocabulary vocabulary_;
    std::string unknown_token_;
};

}  // namespace lathe::tokenizer
