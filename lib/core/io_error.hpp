#pragma once

#include <filesystem>
#include <string>

namespace lathe {

/// @throws IoError  "WHAT PATH: ", with the system's words for this value of errno
[[noreturn]] void throw_io(const std::string& what, const std::filesystem::path& path,
                           int error_number);

}  // namespace lathe
