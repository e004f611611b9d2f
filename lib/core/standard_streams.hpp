#pragma once

#include <string_view>

namespace lathe {

/// First thing in main: a standard stream that the caller closed gets the null device, so that no
/// file which is opened later gets its number, and with it what others print. Standard output
/// becomes one that cannot be written: whoever prints a result there is told so.
/// SIGPIPE and SIGHUP are ignored from now on: a reader or a terminal that is gone shows where
/// something is written, and does not end what is being worked on.
void prepare_standard_streams() noexcept;

/// Writes to standard error, whatever becomes of it: never throws. False if it could not be
/// written: closed, full, or its terminal hung up.
bool print_error(std::string_view text) noexcept;

}  // namespace lathe
