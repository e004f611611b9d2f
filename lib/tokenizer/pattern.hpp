#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "lib/tokenizer/json_place.hpp"

namespace lathe::tokenizer {

/// Bytes [begin, end) of a text; either one match of a pattern or all between two matches.
struct Stretch {
    std::size_t begin;
    std::size_t end;
    bool is_match;
};

/// What a text is searched for.
class Pattern {
public:
    virtual ~Pattern() = default;
    /// Cuts all of `text` (valid UTF-8) into matches and what is between them, from left to right,
    /// appended to `stretches`. Empty matches are stretches too, but the empty text has none.
    virtual void cut(std::string_view text, std::vector<Stretch>& stretches) const = 0;
};

/// `expression` in Oniguruma's syntax (regex_dialect.hpp). @throws DataError
[[nodiscard]] std::unique_ptr<Pattern> make_regex_pattern(std::string_view expression);

/// Exactly `text`.
[[nodiscard]] std::unique_ptr<Pattern> make_literal_pattern(std::string_view text);

/// Each code point for which `holds` is true is a match of its own.
[[nodiscard]] std::unique_ptr<Pattern> make_character_pattern(bool (*holds)(char32_t));

/// {"String": ...} or {"Regex": ...}. @throws DataError
[[nodiscard]] std::unique_ptr<Pattern> read_pattern(const JsonPlace& place);

/// `text` with every match replaced by `content`. @throws DataError  as Regex::find_all
[[nodiscard]] std::string replace_matches(const Pattern& pattern, std::string_view text,
                                          std::string_view content);

}  // namespace lathe::tokenizer
