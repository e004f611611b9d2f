#pragma once

#include <algorithm>
#include <filesystem>

namespace lathe {

/// Whether a path read from a file stays, joined to a directory, in that directory: it is relative,
/// goes nowhere up, and is not empty. What links on disk do is the system's affair.
[[nodiscard]] inline bool is_inner_path(const std::filesystem::path& path) {
    return !path.empty() && !path.is_absolute() &&
           std::find(path.begin(), path.end(), "..") == path.end() &&
           path.native().find('\0') == std::string::npos;
}

}  // namespace lathe
