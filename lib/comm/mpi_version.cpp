#include "lib/comm/mpi_version.hpp"

#include <mpi.h>

#include "lib/comm/mpi_wire.hpp"

namespace lathe::comm {

std::string mpi_version() {
    std::string text(MPI_MAX_LIBRARY_VERSION_STRING, '\0');
    int length = 0;
    check_mpi(MPI_Get_library_version(text.data(), &length), "MPI_Get_library_version");
    text.resize(static_cast<std::size_t>(length));
    return text.substr(0, text.find_first_of(",\n"));  // behind it: how it was packaged
}

}  // namespace lathe::comm
