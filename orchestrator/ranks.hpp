#pragma once

#include <thread>

#include "lib/comm/communicator.hpp"
#include "orchestrator/coordinator.hpp"
#include "workers/worker.hpp"

// What a rank does until its process ends, and how it ends.

namespace lathe {

/// For when a rank is gone, stuck in a task, or cannot go on: nothing more can be agreed with it,
/// and the usual end, MPI_Finalize and what runs at exit, would wait for it or crash.
[[noreturn]] void end_without_mpi(comm::Session& session, int exit_code);

/// A rank other than 0: does tasks until it is told to leave. Returns 0 if all ranks leave
/// together; else, and if it cannot go on (rank 0 is told), the process ends here.
int follow(comm::Session& session, const TaskHandler& handler, const WorkerOptions& options);

/// Rank 0's worker, on a thread beside the coordinator. If it cannot go on, the coordinator is
/// told, as it would be by another rank's: nothing of it leaves the thread.
class WorkerThread {
public:
    WorkerThread(comm::Session& session, TaskHandler handler, WorkerOptions options);
    /// Waits for the worker, whom the coordinator must have told to leave.
    ~WorkerThread() { thread_.join(); }
    WorkerThread(const WorkerThread&) = delete;
    WorkerThread& operator=(const WorkerThread&) = delete;

private:
    std::thread thread_;
};

/// Rank 0's last act: tells all ranks to leave. Returns if they did; else, and if that failed, the
/// process ends here with `exit_code`.
void leave_together(comm::Session& session, Coordinator& coordinator, int exit_code);

}  // namespace lathe
