#pragma once

#include <functional>
#include <optional>
#include <string>

#include "lib/comm/communicator.hpp"
#include "lib/job/task.hpp"

namespace lathe {

/// Does one task and returns the stage's answer, TaskResult::text. What it throws becomes a failed
/// result with the error's exit code and text.
using TaskHandler = std::function<std::string(const Task&)>;

struct WorkerOptions {
    double heartbeat_seconds = 1.0;  ///< between signs of life; far below the coordinator's limit
    /// Whether this rank was asked to stop, by a signal: the coordinator is told with the next sign
    /// of life. Called from another thread. Null: never.
    std::function<bool()> stop_requested = {};
    /// What it computes with (workers/job/device.hpp); each sign of life tells the coordinator.
    std::string instruction_set = {};
};

/// Does the tasks that rank 0 sends, one after another, until it says stop. While it runs, a
/// thread of its own sends signs of life, so that a long task is not taken for a lost rank. On
/// rank 0 it runs on a second thread, beside the coordinator.
///
/// Returns empty if all ranks leave together. If not (a rank is lost or stuck), MPI_Finalize would
/// hang: call Session::abandon() and end the process by _exit with the code returned.
/// Errors of tasks are sent, not thrown. Anything else that ends it, it throws, after telling the
/// coordinator, which then waits for this rank no longer.
/// @throws InternalError  if messages fail or make no sense
std::optional<int> serve(comm::Communicator& communicator, const TaskHandler& handler,
                         const WorkerOptions& options = {});

}  // namespace lathe
