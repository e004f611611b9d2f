// The simulator against real workers on all the ranks that mpirun started. Tasks sleep, so that
// processors that others use do not show; every rank runs every test.

#include <chrono>
#include <cmath>

#include <gtest/gtest.h>

#include "lib/core/json.hpp"
#include "lib/core/random.hpp"
#include "orchestrator/simulate/simulation.hpp"
#include "orchestrator/stages/task_lists.hpp"
#include "tests/orchestrator/worker_farm.hpp"

namespace lathe {
namespace {

/// What the issue asks of the simulator.
constexpr double most_error = 0.15;

double seconds_of(const std::function<void()>& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Batches come from the rank before and go on to the next, as in calibration.
std::string sleep_as_link(const Task& task) {
    const auto link = parse_json(task.arguments);
    comm::Communicator& world = test_world();
    for (int batch = 0; batch < link.at("batches").get<int>(); ++batch) {
        if (link.at("from").get<int>() >= 0) {
            (void)world.receive(link.at("from").get<int>(), comm::Tag::activation);
        }
        sleep_milliseconds(link.at("milliseconds").get<int>());
        if (link.at("to").get<int>() >= 0) {
            world.send(link.at("to").get<int>(), comm::Tag::activation, std::vector<std::byte>(8));
        }
    }
    return "";
}

std::string sleep_for_cost(const Task& task) {
    sleep_milliseconds(static_cast<int>(task.cost));
    return "";
}

void expect_as_simulated(const TaskHandler& handler, const std::vector<Task>& tasks,
                         const SimulatedCall& call) {
    SimulatedWorld world;
    world.n_ranks = n_ranks();
    const double simulated = simulate({call}, world).seconds;
    with_workers(handler, {}, [&](Coordinator& coordinator) {
        (void)coordinator.run(tasks);  // once for what only the first time takes
        const double real = seconds_of([&] { (void)coordinator.run(tasks); });
        EXPECT_NEAR(real, simulated, most_error * simulated);
    });
}

TEST(SimulatedFarm, TasksOfManyLengths) {
    std::vector<Task> tasks = make_tasks(30);
    SimulatedCall call{"compress", {}, false, 0.0};
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        tasks[i].cost = 10.0 + 100.0 * random_unit(7, i);
        SimulatedTask simulated{tasks[i], {}};
        simulated.cost.seconds = std::floor(tasks[i].cost) / 1000.0;
        call.tasks.push_back(simulated);
    }
    expect_as_simulated(sleep_for_cost, tasks, call);
}

TEST(SimulatedFarm, APipelineOfBlocks) {
    constexpr std::size_t n_links = 7;
    constexpr int batches = 8;
    constexpr int milliseconds = 12;
    std::vector<Task> tasks;
    SimulatedCall call{"calibrate", {}, true, 0.0};
    for (const PipelineLink& link : pipeline_links(0, n_links, n_ranks())) {
        Task task{"calibrate", "block" + std::to_string(link.block), "", 1.0, link.rank};
        SimulatedTask simulated{task, {}};
        simulated.cost.seconds = batches * milliseconds / 1000.0;
        simulated.cost.batches = batches;
        call.tasks.push_back(simulated);
        task.arguments = nlohmann::json{
            {"batches", batches},
            {"milliseconds", milliseconds},
            {"from", link.from},
            {"to", link.to}}.dump();
        tasks.push_back(task);
    }
    expect_as_simulated(sleep_as_link, tasks, call);
}

TEST(SimulatedFarm, TasksForAllRanks) {
    constexpr std::size_t parts = 8;
    constexpr int milliseconds = 20;  // of a part, and of what each rank does itself
    std::vector<Task> tasks = make_tasks(5);
    SimulatedCall call{"refine", {}, false, 0.0};
    for (Task& task : tasks) {
        task.rank = all_ranks;
        SimulatedTask simulated{task, {}};
        simulated.cost.seconds = (parts + 1) * milliseconds / 1000.0;
        simulated.cost.divisible = static_cast<double>(parts) / (parts + 1);
        simulated.cost.parts = parts;
        call.tasks.push_back(simulated);
    }
    const auto share = [](const Task&) {
        const auto n = static_cast<std::size_t>(n_ranks());
        const auto rank = static_cast<std::size_t>(this_rank());
        const std::size_t own = (rank + 1) * parts / n - rank * parts / n;
        sleep_milliseconds(static_cast<int>(own + 1) * milliseconds);
        return std::string();
    };
    expect_as_simulated(share, tasks, call);
}

}  // namespace
}  // namespace lathe
