#include "orchestrator/ranks.hpp"

#include <cstdio>
#include <exception>
#include <iostream>
#include <utility>

#include <unistd.h>

#include "lib/core/errors.hpp"
#include "lib/core/log.hpp"

namespace lathe {

void end_without_mpi(comm::Session& session, int exit_code) {
    try {
        session.abandon();
    } catch (const std::exception& error) {
        log_warning(error.what());
    }
    std::cout.flush();
    std::fflush(nullptr);
    ::_exit(exit_code);
}

int follow(comm::Session& session, const TaskHandler& handler, const WorkerOptions& options) {
    std::optional<int> exit_code;
    try {
        exit_code = serve(session.world(), handler, options);
    } catch (...) {  // serve() has told the coordinator why
        exit_code = static_cast<int>(ExitCode::internal);
    }
    if (exit_code) {
        end_without_mpi(session, *exit_code);
    }
    return 0;
}

WorkerThread::WorkerThread(comm::Session& session, TaskHandler handler, WorkerOptions options)
    : thread_(
          [&world = session.world(), handler = std::move(handler), options = std::move(options)] {
              try {
                  serve(world, handler, options);
              } catch (...) {  // NOLINT(bugprone-empty-catch): serve() has told the coordinator why
              }
          }) {}

void leave_together(comm::Session& session, Coordinator& coordinator, int exit_code) {
    bool all_left = false;
    try {
        all_left = coordinator.shut_down(exit_code);
    } catch (const std::exception& error) {
        log_warning(error.what());
    }
    if (!all_left) {
        end_without_mpi(session, exit_code);
    }
}

}  // namespace lathe
