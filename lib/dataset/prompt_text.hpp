#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace lathe {

// The text operations of the evaluation harness that published multiple-choice results come from
// (EleutherAI/lm-evaluation-harness), down to its use of Python's string functions: a space more or
// less changes the tokens. Texts are UTF-8.

/// Bytes of white space, as Python's str.isspace() has it, at the end of `text`.
[[nodiscard]] std::size_t trailing_space(std::string_view text);

/// Without white space at both ends: str.strip().
[[nodiscard]] std::string_view stripped(std::string_view text);

/// First letter in upper case, all others in lower case: str.capitalize(), for the letters of
/// ASCII. Other letters stay as they are.
[[nodiscard]] std::string capitalised(std::string_view text);

/// Removes the marks that HellaSwag's WikiHow part was scraped with: " [title]" becomes ". ",
/// other "[...]" on one line go, then each two spaces become one (once, from the left).
[[nodiscard]] std::string without_marks(std::string_view text);

/// Number of code points: len() in Python.
[[nodiscard]] std::size_t n_characters(std::string_view text);

}  // namespace lathe
