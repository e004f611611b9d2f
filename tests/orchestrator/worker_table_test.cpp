#include "orchestrator/worker_table.hpp"

#include <gtest/gtest.h>

namespace lathe {
namespace {

/// A clock that stands until it is set.
class StandingTime final : public Timekeeper {
public:
    [[nodiscard]] Clock::time_point now() const override { return now_; }
    void sleep(std::chrono::microseconds /*wanted*/) override {}
    [[nodiscard]] double longest_sleep() const override { return 0.0; }
    void pass(std::chrono::seconds seconds) { now_ += seconds; }

private:
    Clock::time_point now_{std::chrono::hours(1)};
};

// A batch system that suspends a job (SIGSTOP), a laptop that sleeps: the task that was at work has
// not hung.
TEST(WorkerTable, APauseOfTheWholeProgramIsNoTimeOfTasks) {
    StandingTime time;
    WorkerTable workers(2, time);
    workers.hear_all();
    workers.give(1, {"compress", "compress/block_0000.down", "", 1.0});
    time.pass(std::chrono::seconds(5));
    EXPECT_EQ(workers.running_tasks().at(0).seconds, 5.0);
    time.pass(std::chrono::seconds(4000));
    workers.forgive(std::chrono::seconds(4000));
    EXPECT_EQ(workers.running_tasks().at(0).seconds, 5.0);
    EXPECT_EQ(workers.at(1).last_heard + std::chrono::seconds(5), time.now());
}

}  // namespace
}  // namespace lathe
