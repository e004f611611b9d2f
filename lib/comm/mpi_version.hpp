#pragma once

#include <string>

namespace lathe::comm {

/// The MPI library this process runs with, in its own words: "Open MPI v4.1.4". May be asked at any
/// time, without a Session too.
/// @throws InternalError
[[nodiscard]] std::string mpi_version();

}  // namespace lathe::comm
