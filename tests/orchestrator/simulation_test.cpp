// The coordinator on simulated ranks: schedules that can be computed by hand.

#include "orchestrator/simulate/simulation.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "orchestrator/simulate/virtual_time.hpp"

namespace lathe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The coordinator reads messages when they come, so no time is lost but for rounding to
// nanoseconds.
constexpr double exact = 1e-6;

SimulatedTask task(const std::string& id, double seconds, double cost = 0.0) {
    SimulatedTask result;
    result.task.stage = "compress";
    result.task.id = id;
    result.task.cost = cost > 0.0 ? cost : seconds;
    result.cost.seconds = seconds;
    return result;
}

SimulatedCall tasks_of(const std::vector<double>& seconds, const std::string& prefix = "t") {
    SimulatedCall call{"compress", {}, false, 0.0};
    for (std::size_t i = 0; i < seconds.size(); ++i) {
        call.tasks.push_back(task(prefix + std::to_string(i), seconds[i]));
    }
    return call;
}

SimulatedCall pipeline(std::size_t links, std::size_t batches, double seconds) {
    SimulatedCall call{"calibrate", {}, true, 0.0};
    for (std::size_t i = 0; i < links; ++i) {
        call.tasks.push_back(task("block" + std::to_string(i), seconds));
        call.tasks.back().cost.batches = batches;
    }
    return call;
}

SimulatedWorld ranks(int n) {
    SimulatedWorld world;
    world.n_ranks = n;
    return world;
}

TEST(VirtualTime, EventsHappenInTheirOrderAndSleepEndsWithOneThatWakes) {
    VirtualTime time;
    std::vector<int> order;
    time.at(3.0, [&] { order.push_back(3); });
    time.at(1.0, [&] { order.push_back(1); });
    time.at(2.0, [&] {
        order.push_back(2);
        time.wake();
        time.at(2.0, [&] { order.push_back(22); });
    });
    time.sleep({});
    EXPECT_THAT(order, ElementsAre(1, 2, 22));
    EXPECT_DOUBLE_EQ(time.seconds(), 2.0);
    time.sleep({});
    EXPECT_THAT(order, ElementsAre(1, 2, 22, 3));
    EXPECT_DOUBLE_EQ(time.seconds(), 12.0) << "nothing woke it: the longest sleep";
    time.at(5.0, [&] { order.push_back(5); });
    time.pass(1.0);
    EXPECT_THAT(order, ElementsAre(1, 2, 22, 3, 5)) << "what is over happens at once";
    EXPECT_DOUBLE_EQ(time.seconds(), 13.0);
}

TEST(Simulation, LongestTasksFirst) {
    // 5 4 3 3 3 on two ranks: 5+3 and 4+3+3.
    const Simulation s = simulate({tasks_of({3, 5, 3, 4, 3})}, ranks(2));
    EXPECT_NEAR(s.seconds, 10.0, exact);
    EXPECT_NEAR(s.work, 18.0, exact);
    EXPECT_NEAR(s.efficiency(), 0.9, exact);
    EXPECT_NEAR(s.critical_path, 5.0, exact);
    EXPECT_EQ(s.stages.at(0).longest_task, "t1");
}

TEST(Simulation, CostsAreOfTheQueueAndSecondsOfTheClock) {
    // Wrongly foretold: the longest is handed out last. 1+6 and 1+1.
    SimulatedCall call{"compress",
                       {task("a", 1, 9), task("b", 1, 8), task("c", 1, 7), task("d", 6, 1)},
                       false,
                       0.0};
    EXPECT_NEAR(simulate({call}, ranks(2)).seconds, 7.0 + 0.0, exact);
}

TEST(Simulation, MoreRanksThanTasks) {
    const Simulation s = simulate({tasks_of({2, 2})}, ranks(1024));
    EXPECT_NEAR(s.seconds, 2.0, exact);
    EXPECT_NEAR(s.efficiency(), 2.0 / 1024, exact);
}

TEST(Simulation, StagesWaitForEachOtherAndForRankZero) {
    SimulatedCall first = tasks_of({4, 1}, "a");
    first.serial_seconds = 2.0;
    const Simulation s = simulate({first, tasks_of({1, 1}, "b")}, ranks(2));
    EXPECT_NEAR(s.seconds, 4.0 + 2.0 + 1.0, exact);
    EXPECT_NEAR(s.work, 9.0, exact);
    EXPECT_NEAR(s.busy, 9.0, exact);
    EXPECT_NEAR(s.critical_path, 7.0, exact);
}

TEST(Simulation, PipelineFills) {
    // Two links of ten batches of a second: the second link ends one batch after the first.
    EXPECT_NEAR(simulate({pipeline(2, 10, 10.0)}, ranks(2)).seconds, 11.0, exact);
    // One rank: one block after the other.
    EXPECT_NEAR(simulate({pipeline(2, 10, 10.0)}, ranks(1)).seconds, 20.0, exact);
    // Five links on two ranks: 10, 11; 20, 21; 30.
    const Simulation five = simulate({pipeline(5, 10, 10.0)}, ranks(2));
    EXPECT_NEAR(five.seconds, 30.0, exact);
    EXPECT_NEAR(five.critical_path, 14.0, exact);
    // Three links on three ranks, the second rank gets its batch a quarter of a second later.
    SimulatedCall slow = pipeline(3, 10, 10.0);
    for (SimulatedTask& link : slow.tasks) {
        link.cost.message_seconds = 0.25;
    }
    EXPECT_NEAR(simulate({slow}, ranks(3)).seconds, 12.5, exact);
}

TEST(Simulation, WaitingInAPipelineIsNotBusy) {
    SimulatedCall call = pipeline(2, 10, 10.0);
    call.tasks[1].cost.seconds = 5.0;  // waits for each batch of the first link
    const Simulation s = simulate({call}, ranks(2));
    EXPECT_NEAR(s.seconds, 10.5, exact);
    EXPECT_NEAR(s.busy, 15.0, exact);
}

TEST(Simulation, TasksForAllRanks) {
    SimulatedCall call{"refine", {task("r0", 10.0), task("r1", 10.0)}, false, 0.0};
    for (SimulatedTask& joint : call.tasks) {
        joint.task.rank = all_ranks;
        joint.cost.divisible = 0.8;
        joint.cost.parts = 8;
        joint.cost.message_seconds = 0.5;
    }
    EXPECT_NEAR(simulate({call}, ranks(1)).seconds, 20.0, exact) << "no messages on one rank";
    // Eight parts on three ranks: 2, 3 and 3 of them.
    EXPECT_NEAR(simulate({call}, ranks(3)).seconds, 2 * (8.0 * 3 / 8 + 2.0 + 0.5), exact);
    EXPECT_NEAR(simulate({call}, ranks(16)).seconds, 2 * (1.0 + 2.0 + 0.5), exact);
}

TEST(Simulation, PreemptionCostsTheTasksThatAreCutOff) {
    // Ten tasks of 100 s on one rank, a stop every 350 s: the fourth task would end at 400, which
    // is later than the 40 s of grace; it is begun anew after the restart.
    SimulatedWorld world = ranks(1);
    world.preempt_every = 350.0;
    const Simulation s = simulate({tasks_of(std::vector<double>(10, 100.0))}, world);
    EXPECT_GE(s.preemptions, 3U);
    EXPECT_EQ(s.starts, s.preemptions + 1);
    EXPECT_GT(s.stages.at(0).lost, 0.0);
    EXPECT_GT(s.seconds, 1000.0 + 60.0 * static_cast<double>(s.preemptions));
    EXPECT_NEAR(s.busy - s.stages.at(0).lost, 1000.0, exact);
}

TEST(Simulation, ATaskThatFitsInTheGraceIsFinished) {
    SimulatedWorld world = ranks(1);
    world.preempt_every = 95.0;  // the first task ends 5 s later
    const Simulation s = simulate({tasks_of({100.0, 10.0})}, world);
    EXPECT_EQ(s.stages.at(0).lost, 0.0);
    EXPECT_NEAR(s.seconds, 100.0 + 60.0 + 10.0, exact);
}

TEST(Simulation, TasksLongerThanTheTimeBetweenStopsAreInfeasible) {
    SimulatedWorld world = ranks(2);
    world.preempt_every = 50.0;
    try {
        (void)simulate({tasks_of({1000.0})}, world);
        FAIL() << "nothing was thrown";
    } catch (const InfeasibleError& error) {
        EXPECT_THAT(error.what(), HasSubstr("stage compress"));
    }
}

TEST(Simulation, LostRanksCostTheirTasksAndTheWaitForThem) {
    SimulatedWorld world = ranks(8);
    world.lost_per_hour = 4.0;
    const std::vector<SimulatedCall> calls{tasks_of(std::vector<double>(400, 60.0))};
    const Simulation s = simulate(calls, world);
    const Simulation undisturbed = simulate(calls, ranks(8));
    EXPECT_NEAR(undisturbed.seconds, 3000.0, exact);
    EXPECT_GT(s.ranks_lost, 0U);
    EXPECT_GT(s.seconds, undisturbed.seconds);
    EXPECT_NEAR(s.busy - s.stages.at(0).lost, 24000.0, 1.0);
    EXPECT_EQ(s.seconds, simulate(calls, world).seconds) << "the same each time";
}

TEST(Simulation, ALostRankOfAPipelineStopsTheJobWhichContinues) {
    SimulatedWorld world = ranks(4);
    world.lost_per_hour = 2.0;
    const Simulation s = simulate({pipeline(40, 16, 400.0)}, world);
    EXPECT_GT(s.ranks_lost, 0U);
    EXPECT_GT(s.starts, 1U);
    EXPECT_GT(s.seconds, simulate({pipeline(40, 16, 400.0)}, ranks(4)).seconds);
}

}  // namespace
}  // namespace lathe
