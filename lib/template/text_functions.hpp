#pragma once

#include <string>
#include <string_view>

namespace lathe::jinja {

// Python's functions of strings; `marks` empty: white space.
[[nodiscard]] std::string stripped(std::string_view text, std::string_view marks, bool left,
                                   bool right);
[[nodiscard]] std::string replaced(std::string_view text, std::string_view from,
                                   std::string_view to, long most);
[[nodiscard]] std::string lowered(std::string_view text);
/// @throws DataError  for letters whose upper case is not known here (beyond ASCII)
[[nodiscard]] std::string raised(std::string_view text);
/// The first letter of the text, or of each word, raised and the others lowered.
[[nodiscard]] std::string capitalised(std::string_view text);
[[nodiscard]] std::string titled(std::string_view text);

}  // namespace lathe::jinja
