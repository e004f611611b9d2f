#pragma once

#include "lib/comm/communicator.hpp"

namespace lathe {

/// All ranks of this test program. One rank, without MPI, when it was not started by mpirun.
comm::Communicator& test_world();

}  // namespace lathe
