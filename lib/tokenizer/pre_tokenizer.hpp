#pragma once

#include <memory>

#include "lib/tokenizer/json_place.hpp"
#include "lib/tokenizer/pre_tokenized_text.hpp"

namespace lathe::tokenizer {

/// Cuts normalised text into the words that the model sees one by one.
class PreTokenizer {
public:
    virtual ~PreTokenizer() = default;
    virtual void apply(PreTokenizedText& text) const = 0;
};

/// `place` is the "pre_tokenizer" of a tokenizer file; null stands for one that cuts nothing.
/// @throws DataError
[[nodiscard]] std::unique_ptr<PreTokenizer> read_pre_tokenizer(const JsonPlace& place);

}  // namespace lathe::tokenizer
