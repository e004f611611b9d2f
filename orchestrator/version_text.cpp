#include "orchestrator/version_text.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "lib/checkpoint/hdf5_version.hpp"
#include "lib/comm/mpi_version.hpp"
#include "orchestrator/version.hpp"
#include "workers/job/build_facts.hpp"
#include "workers/job/device.hpp"

namespace lathe {

std::string version_text() {
    return fmt::format(
        "lathe {}\n"
        "commit: {}\n"
        "MPI: {}\n"
        "HDF5: {}\n"
        "instruction sets: {} (in use: {})\n"
        "CUDA: {}",
        program_version, program_commit(), comm::mpi_version(), hdf5_version(),
        fmt::join(runnable_instruction_sets(), ", "), instruction_set(),
        is_cuda_compiled() ? "compiled" : "not compiled");
}

}  // namespace lathe
