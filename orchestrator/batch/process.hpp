#pragma once

#include <functional>
#include <string>
#include <vector>

namespace lathe::batch {

/// How a command ended.
struct ProcessResult {
    int exit_code = 0;  ///< 128 + its number if a signal ended it
    bool timed_out = false;
    std::string output;  ///< what it wrote to standard output
    std::string errors;  ///< and to standard error
    [[nodiscard]] bool ok() const { return !timed_out && exit_code == 0; }
};

/// Runs a command: the program's name, looked for on PATH, and its arguments, each as it is.
/// @throws MissingInputError  if there is no such program
using CommandRunner = std::function<ProcessResult(const std::vector<std::string>&)>;

/// Runs it without a shell, and ends it after so many seconds: a batch system that does not answer
/// must not hang who asks. Standard input is empty. Slurm's times come as seconds since 1970.
/// @throws MissingInputError  if there is no such program
/// @throws IoError  if it cannot be started
[[nodiscard]] ProcessResult run_process(const std::vector<std::string>& command,
                                        double timeout_seconds = 20.0);

}  // namespace lathe::batch
