#include "lib/tokenizer/word_level.hpp"

#include "lib/core/errors.hpp"

namespace lathe::tokenizer {

WordLevel::WordLevel(const JsonPlace& place)
    : vocabulary_(place.at("vocab")), unknown_token_(place.string_or("unk_token", "<unk>")) {}

void WordLevel::tokenize(const PreTokenizedText& text, WordCache& /*cache*/,
                         std::vector<std::uint32_t>& ids) const {
    for (const Span& span : text.words) {
        auto id = vocabulary_.id_of(text.word(span));
        if (!id) id = vocabulary_.id_of(unknown_token_);
        if (!id) {
            throw DataError("the text has the word \"" + std::string(text.word(span)) +
                            "\", and neither it nor the unknown token \"" + unknown_token_ +
                            "\" is in the tokenizer's vocabulary");
        }
        ids.push_back(*id);
    }
}

}  // namespace lathe::tokenizer
