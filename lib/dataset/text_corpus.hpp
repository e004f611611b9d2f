#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>

#include <nlohmann/json_fwd.hpp>

namespace lathe {

/// Turns a row of messages, one line of JSON, into a text; `where` is for its errors.
using RenderChat = std::function<std::string(const std::string& row, const std::string& where)>;

/// A text file (read_text_file()) with line ends as Python's text mode reads them, whose "\n" is
/// what the programs behind published figures see: "\r\n" and "\r" become "\n".
[[nodiscard]] std::string read_running_text(const std::filesystem::path& file);

/// Calls `use(line, number)` for every line that is not blank, numbers counting from 1.
void for_each_line(const std::filesystem::path& file,
                   const std::function<void(const std::string& line, std::size_t number)>& use);

/// Calls `use(text)` for every row of a JSON Lines file: of its field "text" or, where `render` is
/// given and the row is a chat (is_chat()), of what that makes of it.
/// @throws DataError  naming file, line, and what the parser or this function does not take
void for_each_jsonl_text(const std::filesystem::path& file, const RenderChat& render,
                         const std::function<void(const std::string& text)>& use);

/// Whether a row has "messages" or "conversations" in place of a text.
[[nodiscard]] bool is_chat(const nlohmann::json& row);

/// Whether the ending names a kind of file that a usual command makes a text of: parquet, csv,
/// compressed files.
[[nodiscard]] bool needs_conversion(const std::filesystem::path& file);

/// For a file that is none of .txt, .raw, .jsonl, .h5, of which `others` names more that can be
/// read. @throws DataError  naming the command that converts it, if there is a usual one
[[noreturn]] void refuse_text_file(const std::filesystem::path& file, const std::string& others);

}  // namespace lathe
