#pragma once

#include <chrono>
#include <exception>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "lib/comm/communicator.hpp"
#include "lib/job/task.hpp"
#include "orchestrator/coordinator.hpp"
#include "tests/support/mpi_main.hpp"
#include "workers/worker.hpp"

// For tests of the coordinator with real workers, on all the ranks that mpirun started.

namespace lathe {

inline int n_ranks() {
    return test_world().size();
}
inline int this_rank() {
    return test_world().rank();
}

inline void sleep_milliseconds(int n) {
    std::this_thread::sleep_for(std::chrono::milliseconds(n));
}

inline std::vector<Task> make_tasks(std::size_t n, const std::string& prefix = "t") {
    std::vector<Task> tasks(n);
    for (std::size_t i = 0; i < n; ++i) {
        tasks[i].stage = "compress";
        tasks[i].id = prefix + std::to_string(i);
    }
    return tasks;
}

inline std::string echo(const Task& task) {
    return "did " + task.id;
}

/// Runs `body` on rank 0 with a coordinator, and workers with `handler` on all ranks.
inline void with_workers(const TaskHandler& handler, Coordinator::Options options,
                         const std::function<void(Coordinator&)>& body,
                         const WorkerOptions& quick = {0.05, {}}) {
    comm::Communicator& world = test_world();
    if (world.rank() != 0) {
        EXPECT_FALSE(serve(world, handler, quick).has_value());
        return;
    }
    std::thread worker([&] { EXPECT_FALSE(serve(world, handler, quick).has_value()); });
    options.farewell_seconds = 30.0;
    Coordinator coordinator(world, options);
    try {
        body(coordinator);
    } catch (const std::exception& error) {
        ADD_FAILURE() << "not expected: " << error.what();
    }
    EXPECT_TRUE(coordinator.shut_down());
    worker.join();
}

/// The error of type E that `run` throws; its text, or a failure.
template <typename E>
std::string text_of_error(const std::function<void()>& run) {
    try {
        run();
    } catch (const E& error) {
        return error.what();
    }
    ADD_FAILURE() << "nothing was thrown";
    return "";
}

}  // namespace lathe
