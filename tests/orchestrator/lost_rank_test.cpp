// What the coordinator does when a rank falls silent. No process is killed here: a rank is silent
// because no worker runs on it.

#include <atomic>
#include <optional>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/comm/control.hpp"
#include "lib/core/errors.hpp"
#include "orchestrator/coordinator.hpp"
#include "tests/orchestrator/worker_farm.hpp"

namespace lathe {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// Below, rank 0 is the only one: its worker is played by the test.

Coordinator::Options impatient() {
    Coordinator::Options options;
    options.worker_timeout_seconds = 0.2;
    options.grace_seconds = 0.1;
    options.farewell_seconds = 0.1;
    return options;
}

/// For tasks that come to no end, after some time.
Coordinator::OnUnfinished noting(std::vector<std::string>& notes) {
    return [&notes](const Task& task, int rank, double seconds, const std::string& why) {
        EXPECT_GT(seconds, 0.0);
        notes.push_back(task.id + " on rank " + std::to_string(rank) + ": " + why);
    };
}

TEST(LostRank, WithoutAnyRankTheStageStops) {
    const auto world = comm::make_local_communicator();
    Coordinator coordinator(*world, impatient());
    const auto tasks = make_tasks(2);
    std::vector<std::string> unfinished;
    coordinator.set_on_unfinished(noting(unfinished));
    EXPECT_THAT(text_of_error<StoppedError>([&] { coordinator.run(tasks); }),
                HasSubstr("no rank is left to work"));
    EXPECT_THAT(unfinished, ElementsAre("t0 on rank 0: the rank was lost"));
    EXPECT_THAT(coordinator.lost_ranks(), ElementsAre(0));
    EXPECT_FALSE(coordinator.shut_down());
    // The task it had got; no stop: a rank that is lost is not sent to.
    EXPECT_TRUE(world->try_receive(0, comm::Tag::task).has_value());
    EXPECT_FALSE(world->try_receive(0, comm::Tag::task).has_value());
}

TEST(LostRank, OneThatCannotGoOnIsNotWaitedFor) {
    const auto world = comm::make_local_communicator();
    Coordinator coordinator(*world, {});  // would wait ten minutes for a silent one
    comm::send_control(*world, 0, comm::ControlKind::task, "no task");
    std::thread worker([&] { EXPECT_THROW(serve(*world, echo, {0.05}), InternalError); });
    const auto tasks = make_tasks(2);
    EXPECT_THAT(text_of_error<InternalError>([&] { coordinator.run(tasks); }),
                HasSubstr("no rank is left to work: task message: not a JSON object"));
    worker.join();
    EXPECT_THAT(coordinator.lost_ranks(), ElementsAre(0));
    EXPECT_FALSE(coordinator.shut_down());
}

TEST(LostRank, AJobSaysHowLongARankMayBeSilent) {
    const auto world = comm::make_local_communicator();
    auto options = impatient();
    options.worker_timeout_seconds = 600.0;
    Coordinator coordinator(*world, options);
    coordinator.set_worker_timeout(0.2);
    EXPECT_THAT(text_of_error<StoppedError>([&] { coordinator.run(make_tasks(1)); }),
                HasSubstr("no rank is left to work"));
}

TEST(LostRank, PinnedTasksAreNotMoved) {
    for (const int rank : {0, all_ranks}) {
        const auto world = comm::make_local_communicator();
        auto options = impatient();
        options.last_words = [](int of) { return "the last words of rank " + std::to_string(of); };
        Coordinator coordinator(*world, options);
        auto tasks = make_tasks(2);
        tasks[0].rank = tasks[1].rank = rank;
        EXPECT_THAT(text_of_error<StoppedError>([&] { coordinator.run(tasks); }),
                    AllOf(HasSubstr("rank 0 on host " + world->places()[0].host +
                                    " was lost with task t0, which is pinned to it; run again"),
                          HasSubstr("Its log ends with\nthe last words of rank 0")));
    }
}

TEST(LostRank, OneThatSpeaksAgainIsToldToStop) {
    const auto world = comm::make_local_communicator();
    auto options = impatient();
    options.farewell_seconds = 30.0;
    Coordinator coordinator(*world, options);
    EXPECT_THROW(coordinator.run(make_tasks(1)), StoppedError);
    std::atomic<int> n_calls = 0;
    std::optional<int> exit_code = 1;
    std::thread worker([&] {
        const auto count = [&](const Task& task) {
            ++n_calls;
            return echo(task);
        };
        exit_code = serve(*world, count, {0.01});
    });
    while (n_calls == 0) {
        sleep_milliseconds(1);
    }
    sleep_milliseconds(100);  // its signs of life are under way
    EXPECT_THROW(coordinator.run(make_tasks(1, "u")), StoppedError);
    EXPECT_TRUE(coordinator.shut_down());
    worker.join();
    EXPECT_FALSE(exit_code.has_value());
    EXPECT_EQ(n_calls, 1) << "only the task it had got before it was lost";
}

TEST(LostRank, ARankThatIsStuckIsNotWaitedForAndTheOthersAreTold) {
    const auto world = comm::make_local_communicator();
    Coordinator::Options options;
    options.grace_seconds = 0.1;
    std::atomic<bool> stuck = false;
    options.stop_requested = [&] { return stuck.load(); };
    std::vector<std::string> unfinished;
    options.on_unfinished = noting(unfinished);
    Coordinator coordinator(*world, options);
    std::atomic<bool> release = false;
    std::optional<int> exit_code;
    std::thread worker([&] {
        const auto wait = [&](const Task&) {
            stuck = true;
            while (!release) {
                sleep_milliseconds(1);
            }
            return std::string();
        };
        exit_code = serve(*world, wait, {0.01});
    });
    EXPECT_THROW(coordinator.run(make_tasks(1)), StoppedError);
    EXPECT_THAT(unfinished, ElementsAre("t0 on rank 0: the job stopped"));
    EXPECT_THAT(coordinator.busy_ranks(), ElementsAre(0));
    EXPECT_FALSE(coordinator.shut_down(75));
    EXPECT_THAT(coordinator.busy_ranks(), ElementsAre(0));
    release = true;
    worker.join();
    EXPECT_EQ(exit_code, 75) << "told with the stop";
}

/// Rank 1 does what `silent_rank` says, with nobody to show that it lives.
void run_with_a_silent_rank(const std::function<void()>& silent_rank,
                            const std::function<void(Coordinator&)>& body) {
    comm::Communicator& world = test_world();
    if (world.rank() == 1) {
        return silent_rank();
    }
    const WorkerOptions quick = {0.05};
    if (world.rank() != 0) {
        EXPECT_FALSE(serve(world, echo, quick).has_value());
        return;
    }
    std::thread worker([&] { EXPECT_FALSE(serve(world, echo, quick).has_value()); });
    Coordinator::Options options;
    options.worker_timeout_seconds = 2.0;  // the other ranks must never be that slow
    options.farewell_seconds = 30.0;
    Coordinator coordinator(world, options);
    body(coordinator);
    EXPECT_TRUE(coordinator.shut_down());
    worker.join();
}

TEST(LostRank, ItsTaskIsDoneElsewhereAndItsLateResultIgnored) {
    if (n_ranks() < 2) {
        GTEST_SKIP() << "needs two ranks";
    }
    const auto silent = [] {
        comm::Communicator& world = test_world();
        const auto order = comm::parse_control(world.receive(0, comm::Tag::task).value());
        const Task task = task_from_json(order.text);
        world.receive(0, comm::Tag::activation);  // until the others have done its task
        TaskResult late;
        late.id = task.id;
        late.ok = true;
        late.text = "late";
        comm::send_control(world, 0, comm::ControlKind::result, to_json(late));
        EXPECT_FALSE(serve(world, echo).has_value());
    };
    run_with_a_silent_rank(silent, [](Coordinator& coordinator) {
        const auto tasks = make_tasks(20);
        const auto results = coordinator.run(tasks);
        EXPECT_THAT(coordinator.lost_ranks(), ElementsAre(1));
        for (const TaskResult& result : results) {
            EXPECT_EQ(result.text, "did " + result.id);
            EXPECT_NE(result.rank, 1);
        }
        test_world().send(1, comm::Tag::activation, {});
        sleep_milliseconds(100);
        for (const TaskResult& result : coordinator.run(make_tasks(5, "u"))) {
            EXPECT_NE(result.rank, 1);
        }
        sleep_milliseconds(200);  // so that rank 1 is heard of
        EXPECT_THAT(coordinator.run(make_tasks(1, "v")), SizeIs(1));
    });
}

TEST(LostRank, OneThatHangsWhileItGivesSignsOfLifeIsLost) {
    if (n_ranks() < 2) {
        GTEST_SKIP() << "needs two ranks";
    }
    std::atomic<bool> hung = false;
    const auto handler = [&](const Task& task) {
        const bool hangs = this_rank() == 1 && !hung.exchange(true);
        sleep_milliseconds(hangs ? 2000 : 10);
        return std::to_string(this_rank()) + " did " + task.id;
    };
    Coordinator::Options options;
    options.worker_timeout_seconds = 600.0;
    options.deadline_factor = 3.0;
    options.least_deadline_seconds = 0.5;
    with_workers(handler, options, [](Coordinator& coordinator) {
        for (const TaskResult& result : coordinator.run(make_tasks(20))) {
            EXPECT_NE(result.rank, 1);
        }
        EXPECT_THAT(coordinator.lost_ranks(), ElementsAre(1));
        // It gets no task again. Its late result counts for nothing.
        sleep_milliseconds(1600);
        for (const TaskResult& result : coordinator.run(make_tasks(5, "u"))) {
            EXPECT_NE(result.rank, 1);
        }
    });
}

TEST(LostRank, ATaskForAllRanksDoesNotWaitForIt) {
    if (n_ranks() < 2) {
        GTEST_SKIP() << "needs two ranks";
    }
    const auto silent = [] {
        comm::Communicator& world = test_world();
        (void)world.receive(0, comm::Tag::task);
        world.receive(0, comm::Tag::activation);  // until the stage has ended without it
        EXPECT_FALSE(serve(world, echo).has_value());
    };
    run_with_a_silent_rank(silent, [](Coordinator& coordinator) {
        auto tasks = make_tasks(2);
        tasks[0].rank = tasks[1].rank = all_ranks;
        EXPECT_THAT(text_of_error<StoppedError>([&] { coordinator.run(tasks); }),
                    AllOf(HasSubstr("rank 1 on host "), HasSubstr(" was lost with task t0")));
        // Nor can another begin without it.
        EXPECT_THAT(text_of_error<StoppedError>([&] { coordinator.run(tasks); }),
                    HasSubstr("rank 1 was lost, and tasks of this stage are pinned to it"));
        test_world().send(1, comm::Tag::activation, {});
        sleep_milliseconds(200);  // so that rank 1 is heard of
        EXPECT_THAT(coordinator.run(make_tasks(1, "v")), SizeIs(1));
    });
}

}  // namespace
}  // namespace lathe
