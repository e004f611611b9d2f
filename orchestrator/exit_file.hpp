#pragma once

#include <filesystem>

namespace lathe {

/// Leaves the program's exit code in a file, for batch scripts: launchers report the code of
/// another rank, or their own. Nothing if `file` is empty; a file that cannot be written is a
/// warning.
void leave_exit_code(const std::filesystem::path& file, int code);

}  // namespace lathe
