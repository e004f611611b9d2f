#pragma once

#include <stdexcept>
#include <string>

namespace lathe {

/// What a program returns to its caller; the numbers are those of sysexits.h, so that a batch
/// script can tell "fix the input" from "run me again".
enum class ExitCode : int {
    done = 0,
    usage = 64,          ///< bad arguments or job file
    bad_data = 65,       ///< an input file is not what it should be
    missing_input = 66,  ///< an input file is not there
    infeasible = 69,     ///< no plan fits the budget
    internal = 70,       ///< a bug
    io = 74,             ///< reading or writing failed: disk full, permissions
    stopped = 75,        ///< stopped early on purpose; run again to continue
};

/// Root of every error Lathe throws. The message names the object, the value found and what was
/// expected; it is a sentence for the user, printed once, by rank 0.
class Error : public std::runtime_error {
public:
    Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
    [[nodiscard]] ExitCode code() const noexcept { return code_; }

private:
    ExitCode code_;
};

/// Bad command line or job file.
struct UsageError : Error {
    explicit UsageError(const std::string& message) : Error(ExitCode::usage, message) {}
};
/// An input file whose content is wrong: truncated, contradictory, not finite.
struct DataError : Error {
    explicit DataError(const std::string& message) : Error(ExitCode::bad_data, message) {}
};
/// An input file that does not exist.
struct MissingInputError : Error {
    explicit MissingInputError(const std::string& message)
        : Error(ExitCode::missing_input, message) {}
};
/// No plan fits the budget.
struct InfeasibleError : Error {
    explicit InfeasibleError(const std::string& message) : Error(ExitCode::infeasible, message) {}
};
/// A broken invariant of our own: a bug, never the user's fault.
struct InternalError : Error {
    explicit InternalError(const std::string& message) : Error(ExitCode::internal, message) {}
};
/// Matrices or arguments that do not fit together; a bug in the caller.
struct ShapeError : InternalError {
    using InternalError::InternalError;
};
/// The file system refused: disk full, read-only, no permission.
struct IoError : Error {
    explicit IoError(const std::string& message) : Error(ExitCode::io, message) {}
};
/// Stopped by a signal or a walltime limit, with everything finished on disk.
struct StoppedError : Error {
    explicit StoppedError(const std::string& message) : Error(ExitCode::stopped, message) {}
};

}  // namespace lathe
