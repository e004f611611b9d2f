#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lib/tokenizer/regex.hpp"

namespace lathe::tokenizer {

/// Text cut into words. All words lie in one buffer, so that cutting costs no copies.
struct PreTokenizedText {
    std::string text;         ///< valid UTF-8
    std::vector<Span> words;  ///< in order, none empty; parts of `text` outside them are dropped
    /// Whether byte 0 of `text` is the first one of the input (Section::at_start).
    bool at_start;

    [[nodiscard]] std::string_view word(const Span& span) const {
        return std::string_view(text).substr(span.begin, span.end - span.begin);
    }
};

}  // namespace lathe::tokenizer
