#pragma once

#include <filesystem>
#include <string>

#include "orchestrator/command_line.hpp"

namespace lathe {

/// load_job(), and from then on this rank also logs to its file in the job's run directory.
[[nodiscard]] JobConfig load_logged_job(const CommandLine& line, int rank);

/// The end of a rank's log in the run directory of the command's job; empty if there is none.
[[nodiscard]] std::string last_words(const CommandLine& line, int rank);

/// The last so many lines of a text.
[[nodiscard]] std::string last_lines(const std::string& text, std::size_t n);

}  // namespace lathe
