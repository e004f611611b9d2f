#pragma once

#include <memory>
#include <string>

#include "lib/tokenizer/json_place.hpp"

namespace lathe::tokenizer {

/// A stretch of the input between two added tokens, while it is being normalised.
struct Section {
    std::string text;  ///< valid UTF-8
    /// Whether the first character of `text` is the first one of the input; some pre-tokenizers
    /// treat the first word differently.
    bool at_start;
};

/// Drops the code points for which `drops` is true.
void remove_if(Section& section, bool (*drops)(char32_t));

/// Rewrites text before it is cut into words.
class Normalizer {
public:
    virtual ~Normalizer() = default;
    virtual void apply(Section& section) const = 0;
};

/// `place` is the "normalizer" of a tokenizer file; null stands for one that does nothing.
/// @throws DataError
[[nodiscard]] std::unique_ptr<Normalizer> read_normalizer(const JsonPlace& place);

/// The kind of BERT: drops control characters, spaces out Chinese ones, strips accents, lowers.
[[nodiscard]] std::unique_ptr<Normalizer> read_bert_normalizer(const JsonPlace& place);

}  // namespace lathe::tokenizer
