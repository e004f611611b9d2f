#pragma once

#include <string>
#include <string_view>

namespace lathe::tokenizer {

/// Rewrites a pattern of Oniguruma's Ruby syntax, in which tokenizer files are written, for PCRE2.
///
/// Most of the syntax is common. Rewritten are \s \S (Unicode White_Space, without U+180E that PCRE2
/// adds), \w \W, \h \H (hexadecimal digits), \uHHHH, and (?m) (dot matches a line end). What means
/// something else in PCRE2 and has no short equivalent is refused rather than misread: \Q \O \y \Y,
/// && and nested sets inside [...], and {n,m}+ (in Ruby a repeated interval, not a possessive one).
///
/// @throws DataError  naming the construct
[[nodiscard]] std::string to_pcre2_pattern(std::string_view pattern);

}  // namespace lathe::tokenizer
