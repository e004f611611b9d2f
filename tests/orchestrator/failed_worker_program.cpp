// A job whose rank 1 is sent what is no task and cannot go on. For `mpirun --enable-recovery -n 2`:
// rank 0 is told, does all the work, and does not wait for rank 1 at the end. Not a GoogleTest
// program, because nothing collective, MPI_Finalize included, is possible once a rank is gone.

#include <cstdio>
#include <exception>
#include <string>

#include <unistd.h>

#include "lib/comm/communicator.hpp"
#include "lib/comm/control.hpp"
#include "lib/core/log.hpp"
#include "orchestrator/ranks.hpp"

namespace {

using namespace lathe;

constexpr int victim = 1;

std::string work(const Task& task) {
    return "did " + task.id;
}

void lead(comm::Session& session) {
    comm::send_control(session.world(), victim, comm::ControlKind::task, "no task");
    Coordinator coordinator(session.world(), {});  // would wait ten minutes for a silent rank
    const WorkerThread worker(session, work, {});
    std::vector<Task> tasks(40);
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        tasks[i].stage = "compress";
        tasks[i].id = "task " + std::to_string(i);
    }
    const std::size_t n_done = coordinator.run(tasks).size();
    while (coordinator.lost_ranks().empty()) {  // told while tasks run, or just after
        coordinator.run(std::span(tasks).first(1));
    }
    std::printf("%zu of %zu tasks done, lost rank %d\n", n_done, tasks.size(),
                coordinator.lost_ranks().front());
    leave_together(session, coordinator, 0);
    std::printf("rank 0 left with the others\n");
}

}  // namespace

int main(int argc, char** argv) {
    try {
        comm::Session session(&argc, &argv);
        start_logging(LogLevel::normal, session.world().rank());
        if (session.world().rank() == victim) {
            return follow(session, work, {});
        }
        lead(session);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
    }
    std::fflush(nullptr);
    ::_exit(1);
}
