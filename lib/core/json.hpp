#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

// What the compiler would otherwise do again in each file, parser and printer of nlohmann::json, is
// compiled once, in json.cpp. Include this only in source files: headers take json_fwd.hpp.
extern template class nlohmann::basic_json<>;

namespace lathe {

/// Whether arrays and objects stand so deep within one another that no document needs it. Copying
/// and printing such a value call themselves once a level, until the stack ends; so all the
/// functions below refuse it.
[[nodiscard]] bool is_nested_too_deeply(std::string_view text) noexcept;

/// @throws nlohmann::json::exception
/// @throws DataError  if it is nested too deeply
[[nodiscard]] nlohmann::json parse_json(std::string_view text);

/// As parse_json(), for what a user wrote.
/// @throws DataError  "WHERE: not JSON, line 3, byte 26: ..." with the parser's words; the line
/// only
///   if the text has several
[[nodiscard]] nlohmann::json parse_json(std::string_view text, const std::string& where);

/// As parse_json(), for a line that a program may have written with Python's json module: the NaN,
/// Infinity and -Infinity of that module count as null.
/// @throws DataError  as above
[[nodiscard]] nlohmann::json parse_python_json(std::string_view text, const std::string& where);

/// As parse_json(), but for a text that is no JSON or nested too deeply a value for which
/// is_discarded() holds.
[[nodiscard]] nlohmann::json try_parse_json(std::string_view text);

}  // namespace lathe
