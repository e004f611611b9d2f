#pragma once

#include <string>
#include <string_view>

namespace lathe {

enum class LogLevel { quiet, normal, verbose };

/// Starts logging to standard error, one line an event: `time rank=0 event key=value ...`.
/// Called once by the program; before that, and in tests, nothing is logged.
void start_logging(LogLevel level, int rank);

/// One event. `text` is `event key=value key=value`. `info` shows from `normal` on, `detail` only
/// when verbose, `warning` always. A line that cannot be written (standard error closed or full) is
/// lost, and that is all.
void log_info(std::string_view text) noexcept;
void log_detail(std::string_view text) noexcept;
void log_warning(std::string_view text) noexcept;
/// The same, but each text once a process: for what is met again with every file opened.
void log_warning_once(const std::string& text);

}  // namespace lathe
