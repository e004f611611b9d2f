#pragma once

#include <string>
#include <string_view>

#include "lib/comm/communicator.hpp"

namespace lathe::comm {

/// What coordinator and worker tell each other, all of it.
enum class ControlKind : char {
    task = 'T',       ///< coordinator to worker; text: the task
    stop = 'S',       ///< coordinator to worker: leave; text: empty, or an exit code
    result = 'R',     ///< worker to coordinator; text: the result
    heartbeat = 'H',  ///< worker to coordinator: still alive; text: what it computes with
    progress =
        'P',  ///< worker to coordinator; text: how far its task is, 0 to 1, and bytes of its memory
    asked = 'A',   ///< worker to coordinator: a signal asked this rank to stop the job
    failed = 'F',  ///< worker to coordinator, its last message: it cannot go on; text: why
    stopped = 'E'  ///< worker to coordinator, its last message: leaving, as told
};

// A stop with an exit code says that some rank will not leave with the others. Then nothing
// collective, MPI_Finalize included, is possible any more, and every rank ends by _exit with that
// code: mpirun returns the code of the first rank that ends without MPI_Finalize.

struct Control {
    ControlKind kind = ControlKind::heartbeat;
    int source = 0;
    std::string text;
};

/// The tag is Tag::task for what the coordinator sends, Tag::result for what a worker sends.
void send_control(Communicator& communicator, int to, ControlKind kind, std::string_view text = {});

/// @throws InternalError  if it is no control message
[[nodiscard]] Control parse_control(const Message& message);

}  // namespace lathe::comm
