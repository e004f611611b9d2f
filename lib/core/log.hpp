#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace lathe {

enum class LogLevel { quiet, normal, verbose };
/// `json`: a line is an object with `time`, `host`, `rank`, `level` and `event`, for programs.
enum class LogFormat { text, json };

/// Starts logging to standard error, one line an event: `time rank=0 event key=value ...`.
/// Called once by the program; before that, and in tests, nothing is logged.
void start_logging(LogLevel level, int rank, LogFormat format = LogFormat::text);

/// From now on events also go to this file, all of them, each with date and host, or in the format
/// given above: what is read when
/// something went wrong. Appends; a file that cannot be opened is a warning and no more. Called
/// again with the same file it does nothing.
void log_to_file(const std::filesystem::path& file);

/// One event. `text` is `event key=value key=value`. `info` shows from `normal` on, `detail` only
/// when verbose, `warning` always. A line that cannot be written (standard error closed or full) is
/// lost, and that is all.
void log_info(std::string_view text) noexcept;
void log_detail(std::string_view text) noexcept;
void log_warning(std::string_view text) noexcept;
/// The same as a warning, but each text once a process: for what is met again with every file
/// opened.
void log_warning_once(const std::string& text);

}  // namespace lathe
