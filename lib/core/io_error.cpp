#include "lib/core/io_error.hpp"

#include <cstring>

#include "lib/core/errors.hpp"

namespace lathe {

void throw_io(const std::string& what, const std::filesystem::path& path, int error_number) {
    throw IoError(what + " " + path.string() + ": " + std::strerror(error_number));
}

}  // namespace lathe
