#pragma once

#include <string>
#include <string_view>

namespace lathe::tokenizer {

/// Rewrites a pattern of Oniguruma's Ruby syntax, in which tokenizer files are written, for PCRE2.
///
/// Most of the syntax is common. Rewritten are
///   \s \S             Unicode White_Space, without the U+180E that PCRE2 adds
///   \w \W \b \B       with Oniguruma's idea of a word character
///   \h \H             hexadecimal digits, not white space
///   \uHHHH  [:name:]  (?m), which lets the dot match a line end
/// What means something else in PCRE2 and has no short equivalent is refused rather than misread:
/// \Q \O \X \y \Y, && and nested sets inside [...], [:^name:], {,n}, {n,m}+ (in Ruby a repeated
/// interval, not a possessive one), and (?i) other than at the beginning.
///
/// @throws DataError  naming the construct
[[nodiscard]] std::string to_pcre2_pattern(std::string_view pattern);

/// Letters, marks, digits, connectors and joiners, for use inside [...]: \w of the Rust library,
/// which some components of the original use in place of Oniguruma.
inline constexpr std::string_view rust_word_set =
    "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}";

}  // namespace lathe::tokenizer
