// A job whose rank 2 is killed at its third task. For `mpirun --enable-recovery -n 3`: the others
// do all the work, and rank 0 prints what became of it. Not a GoogleTest program, because nothing
// collective, MPI_Finalize included, is possible once a rank is gone.

#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <set>
#include <string>
#include <thread>

#include <unistd.h>

#include "lib/comm/communicator.hpp"
#include "lib/core/log.hpp"
#include "orchestrator/coordinator.hpp"
#include "workers/worker.hpp"

namespace {

using namespace lathe;

constexpr int n_tasks = 40;
constexpr int victim = 2;

std::string work(int rank) {
    static int n_begun = 0;
    if (rank == victim && ++n_begun == 3) {
        std::raise(SIGKILL);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return "rank " + std::to_string(rank);
}

/// Whether every task was done once, and only the victim was lost.
bool coordinate(comm::Communicator& world) {
    Coordinator::Options options;
    options.worker_timeout_seconds = 3.0;
    std::set<std::string> done;
    options.on_result = [&](const Task& task, const TaskResult&) { done.insert(task.id); };
    Coordinator coordinator(world, options);
    std::vector<Task> tasks(n_tasks);
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        tasks[i].stage = "compress";
        tasks[i].id = "task " + std::to_string(i);
    }
    const auto results = coordinator.run(tasks);
    const bool all_left = coordinator.shut_down();
    std::printf("%zu of %d tasks done, lost rank", done.size(), n_tasks);
    for (const int rank : coordinator.lost_ranks()) {
        std::printf(" %d", rank);
    }
    std::printf("\n");
    return results.size() == n_tasks && done.size() == n_tasks && !all_left &&
           coordinator.lost_ranks() == std::vector<int>{victim};
}

bool run(comm::Session& session) {
    comm::Communicator& world = session.world();
    const auto handler = [&](const Task&) { return work(world.rank()); };
    const WorkerOptions quick = {0.1};
    if (world.rank() != 0) {
        return serve(world, handler, quick) == 0;  // a code: not all ranks leave
    }
    std::thread worker([&] { serve(world, handler, quick); });
    const bool good = coordinate(world);
    worker.join();
    return good;
}

}  // namespace

int main(int argc, char** argv) {
    bool good = false;
    try {
        comm::Session session(&argc, &argv);
        start_logging(LogLevel::normal, session.world().rank());
        good = run(session);
        session.abandon();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
    }
    std::fflush(nullptr);
    ::_exit(good ? 0 : 1);
}
