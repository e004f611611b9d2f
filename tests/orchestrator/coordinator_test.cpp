// The coordinator with real workers on all the ranks that mpirun started. Every rank runs every
// test: rank 0 the coordinator and a worker beside it, the others a worker.

#include "orchestrator/coordinator.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/core/log.hpp"
#include "lib/core/task_progress.hpp"
#include "tests/orchestrator/worker_farm.hpp"

namespace lathe {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(Coordinator, AllTasksAreDoneOnceAndComeBackInOrder) {
    const auto tasks = make_tasks(50);
    std::map<std::string, int> n_results;
    Coordinator::Options options;
    options.on_result = [&](const Task& task, const TaskResult& result) {
        EXPECT_EQ(task.id, result.id);
        ++n_results[task.id];
    };
    with_workers(
        [](const Task& task) {
            sleep_milliseconds(2);  // so that every rank gets its share
            return echo(task);
        },
        options,
        [&](Coordinator& coordinator) {
            const auto results = coordinator.run(tasks);
            ASSERT_THAT(results, SizeIs(50));
            std::vector<int> ranks;
            for (std::size_t i = 0; i < results.size(); ++i) {
                EXPECT_EQ(results[i].id, tasks[i].id);
                EXPECT_EQ(results[i].text, "did " + tasks[i].id);
                EXPECT_TRUE(results[i].ok);
                EXPECT_GE(results[i].seconds, 0.002);
                EXPECT_EQ(n_results[tasks[i].id], 1);
                ranks.push_back(results[i].rank);
            }
            std::ranges::sort(ranks);
            EXPECT_EQ(std::ranges::unique(ranks).begin() - ranks.begin(), n_ranks());
            EXPECT_THAT(coordinator.lost_ranks(), IsEmpty());
        });
}

TEST(Coordinator, OneStageAfterAnotherAndStagesWithoutTasks) {
    with_workers(echo, {}, [](Coordinator& coordinator) {
        EXPECT_THAT(coordinator.run({}), IsEmpty());
        for (const char* stage : {"a", "b", "c"}) {
            const auto tasks = make_tasks(5, stage);
            EXPECT_EQ(coordinator.run(tasks).back().text, std::string("did ") + stage + "4");
        }
        EXPECT_THAT(coordinator.run({}), IsEmpty());
    });
}

TEST(Coordinator, LongestFirst) {
    auto tasks = make_tasks(6);
    const double costs[] = {1, 5, 3, 5, 9, 2};
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        tasks[i].cost = costs[i];
    }
    // On several ranks the order of the ends is open, so all but rank 0 only get the pinned task.
    for (int rank = 1; rank < n_ranks(); ++rank) {
        tasks.push_back({"compress", "hold" + std::to_string(rank), "", 0.0, rank});
    }
    std::vector<std::string> order;
    std::mutex mutex;
    std::atomic<bool> rank_0_is_done = false;
    Coordinator::Options options;
    options.on_result = [&](const Task& task, const TaskResult&) {
        const std::lock_guard lock(mutex);
        if (task.rank < 0) {
            order.push_back(task.id);
        }
        rank_0_is_done = order.size() == 6;
    };
    with_workers(
        [](const Task& task) {
            // A rank that holds is released by message, when rank 0 has done the rest.
            if (task.rank >= 0) {
                test_world().receive(0, comm::Tag::activation);
            }
            return echo(task);
        },
        options,
        [&](Coordinator& coordinator) {
            std::thread release([&] {
                while (!rank_0_is_done) {
                    sleep_milliseconds(1);
                }
                for (int rank = 1; rank < n_ranks(); ++rank) {
                    test_world().send(rank, comm::Tag::activation, {});
                }
            });
            coordinator.run(tasks);
            release.join();
            EXPECT_THAT(order, ElementsAre("t4", "t1", "t3", "t2", "t5", "t0"));
        });
}

TEST(Coordinator, PinnedTasksStayOnTheirRankInTheirOrder) {
    auto tasks = make_tasks(12);
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        tasks[i].cost = static_cast<double>(i);
        if (i % 4 != 3) {
            tasks[i].rank = static_cast<int>(i) % n_ranks();
        }
    }
    std::map<int, std::vector<std::string>> order;
    Coordinator::Options options;
    options.on_result = [&](const Task& task, const TaskResult& result) {
        if (task.rank >= 0) {
            order[result.rank].push_back(task.id);
        }
    };
    with_workers(echo, options, [&](Coordinator& coordinator) {
        const auto results = coordinator.run(tasks);
        std::map<int, std::vector<std::string>> expected;
        for (std::size_t i = 0; i < tasks.size(); ++i) {
            if (tasks[i].rank < 0) {
                continue;
            }
            EXPECT_EQ(results[i].rank, tasks[i].rank);
            expected[tasks[i].rank].push_back(tasks[i].id);
        }
        EXPECT_EQ(order, expected);
    });
}

TEST(Coordinator, PinnedTasksMayTalkToEachOther) {
    // As in calibration: rank r takes what rank r - 1 made, sample block after sample block.
    std::vector<Task> tasks;
    for (int sample_block = 0; sample_block < 5; ++sample_block) {
        for (int rank = 0; rank < n_ranks(); ++rank) {
            tasks.push_back({"calibrate",
                             "c" + std::to_string(rank) + "." + std::to_string(sample_block), "",
                             1.0, rank});
        }
    }
    const auto handler = [](const Task&) {
        std::vector<std::byte> bytes;
        if (this_rank() > 0) {
            bytes = test_world().receive(this_rank() - 1, comm::Tag::activation).value().bytes;
        }
        bytes.push_back(static_cast<std::byte>(this_rank()));
        const std::string answer = std::to_string(bytes.size());
        if (this_rank() + 1 < n_ranks()) {
            test_world().send(this_rank() + 1, comm::Tag::activation, std::move(bytes));
        }
        return answer;
    };
    with_workers(handler, {}, [&](Coordinator& coordinator) {
        const auto results = coordinator.run(tasks);
        for (const TaskResult& result : results) {
            EXPECT_EQ(result.text, std::to_string(result.rank + 1));
        }
    });
}

TEST(Coordinator, TasksForAllRanksAreRunByAllOfThemAtOnceAndDoneOnce) {
    auto tasks = make_tasks(4);
    for (Task& task : tasks) {
        task.rank = all_ranks;
    }
    const auto other = make_tasks(3, "other");
    tasks.insert(tasks.end(), other.begin(), other.end());
    std::vector<std::string> order;
    Coordinator::Options options;
    options.on_result = [&](const Task& task, const TaskResult&) { order.push_back(task.id); };
    const auto handler = [](const Task& task) {
        if (task.rank != all_ranks) {
            return echo(task);
        }
        // Every rank waits for every other one to be at the same task.
        const std::string id = task.id;
        for (int rank = 0; rank < n_ranks(); ++rank) {
            const auto* bytes = reinterpret_cast<const std::byte*>(id.data());
            test_world().send(rank, comm::Tag::share, {bytes, bytes + id.size()});
        }
        for (int rank = 0; rank < n_ranks(); ++rank) {
            const auto message = test_world().receive(rank, comm::Tag::share).value();
            const auto* text = reinterpret_cast<const char*>(message.bytes.data());
            EXPECT_EQ(std::string(text, message.bytes.size()), id);
        }
        return id + " on " + std::to_string(this_rank());
    };
    with_workers(handler, options, [&](Coordinator& coordinator) {
        const auto results = coordinator.run(tasks);
        for (std::size_t i = 0; i < 4; ++i) {
            EXPECT_EQ(results[i].text, tasks[i].id + " on 0");
        }
        EXPECT_THAT(order, SizeIs(7));
        std::erase_if(order, [](const std::string& id) { return id.starts_with("other"); });
        EXPECT_THAT(order, ElementsAre("t0", "t1", "t2", "t3"));
    });
}

TEST(Coordinator, ATaskForAllRanksFailsWithTheErrorThatStoppedTheOthers) {
    auto tasks = make_tasks(2);
    tasks[0].rank = tasks[1].rank = all_ranks;
    const auto handler = [](const Task&) -> std::string {
        if (this_rank() == n_ranks() - 1) {
            sleep_milliseconds(100);  // the others answer first
            throw DataError("not finite");
        }
        throw StoppedError("another rank gave up");
    };
    with_workers(handler, {}, [&](Coordinator& coordinator) {
        EXPECT_THAT(text_of_error<DataError>([&] { coordinator.run(tasks); }),
                    AllOf(HasSubstr("task t0 failed on rank " + std::to_string(n_ranks() - 1)),
                          HasSubstr("not finite")));
    });
}

TEST(Coordinator, AFailureIsTriedOnceMoreElsewhere) {
    std::atomic<int> n_calls = 0;
    const auto handler = [&](const Task& task) {
        if (task.id == "t2" && this_rank() == 0 && n_calls++ == 0) {
            throw std::runtime_error("the device is broken");
        }
        return echo(task);
    };
    auto tasks = make_tasks(3);
    tasks[2].cost = 9.0;  // the first to be handed out, and rank 0 is asked first
    with_workers(handler, {}, [&](Coordinator& coordinator) {
        const auto results = coordinator.run(tasks);
        EXPECT_TRUE(results[2].ok);
        EXPECT_EQ(results[2].text, "did t2");
        EXPECT_EQ(n_calls, n_ranks() == 1 ? 2 : 1);
        EXPECT_EQ(results[2].rank == 0, n_ranks() == 1);
    });
}

TEST(Coordinator, ASecondFailureIsReportedWithRanksAndText) {
    with_workers(
        [](const Task& task) -> std::string {
            if (task.id == "t1") {
                throw InternalError("singular on " + std::to_string(this_rank()));
            }
            return echo(task);
        },
        {},
        [](Coordinator& coordinator) {
            const auto tasks = make_tasks(3);
            const std::string text = text_of_error<InternalError>([&] { coordinator.run(tasks); });
            EXPECT_THAT(text, HasSubstr("task t1 failed on rank"));
            EXPECT_THAT(text, HasSubstr(": singular on "));
            if (n_ranks() == 1) {
                EXPECT_THAT(text, HasSubstr("rank 0, twice"));
            } else {
                EXPECT_THAT(text, HasSubstr("ranks "));
                EXPECT_THAT(text, ::testing::Not(HasSubstr("twice")));
            }
            // The workers are as good as before.
            EXPECT_THAT(coordinator.run(make_tasks(4, "next")), SizeIs(4));
        });
}

TEST(Coordinator, AfterAFailureNothingIsHandedOutAndRunningTasksAreAwaited) {
    auto tasks = make_tasks(40);
    tasks[0].cost = 100.0;  // fails first, and is tried on the next rank
    std::vector<std::string> done;
    Coordinator::Options options;
    options.on_result = [&](const Task& task, const TaskResult&) { done.push_back(task.id); };
    with_workers(
        [](const Task& task) -> std::string {
            sleep_milliseconds(task.id == "t0" ? 1 : 30);
            if (task.id == "t0") {
                throw DataError("block 7 is not finite");
            }
            return echo(task);
        },
        options,
        [&](Coordinator& coordinator) {
            const std::string text = text_of_error<DataError>([&] { coordinator.run(tasks); });
            EXPECT_THAT(text, HasSubstr("task t0 failed on rank"));
            EXPECT_THAT(text, HasSubstr("block 7 is not finite"));
            // Only what the other ranks had begun, and that is not lost.
            EXPECT_THAT(done, SizeIs(static_cast<std::size_t>(n_ranks() - 1)));
        });
}

TEST(Coordinator, PinnedTasksAreNotTriedAgainAndErrorsKeepTheirKind) {
    std::atomic<int> n_calls = 0;
    const auto handler = [&](const Task& task) -> std::string {
        ++n_calls;
        if (task.arguments == "usage") {
            throw UsageError("usage");
        }
        if (task.arguments == "data") {
            throw DataError("data");
        }
        if (task.arguments == "missing") {
            throw MissingInputError("missing");
        }
        if (task.arguments == "infeasible") {
            throw InfeasibleError("infeasible");
        }
        throw IoError("io");
    };
    with_workers(handler, {}, [&](Coordinator& coordinator) {
        const auto run = [&](const char* kind) {
            return [&coordinator, kind] {
                Task task{"compress", "one", kind, 1.0, 0};
                coordinator.run({&task, 1});
            };
        };
        EXPECT_THAT(text_of_error<UsageError>(run("usage")), HasSubstr("usage"));
        EXPECT_THAT(text_of_error<DataError>(run("data")), HasSubstr("data"));
        EXPECT_THAT(text_of_error<MissingInputError>(run("missing")), HasSubstr("missing"));
        EXPECT_THAT(text_of_error<InfeasibleError>(run("infeasible")), HasSubstr("infeasible"));
        EXPECT_THAT(text_of_error<IoError>(run("io")), HasSubstr("io"));
        EXPECT_EQ(n_calls, 5);
    });
}

TEST(Coordinator, AStopRequestFinishesWhatIsRunning) {
    const auto tasks = make_tasks(100);
    std::atomic<int> n_done = 0;
    Coordinator::Options options;
    options.on_result = [&](const Task&, const TaskResult&) { ++n_done; };
    options.stop_requested = [&] { return n_done >= 5; };
    with_workers(
        [](const Task& task) {
            sleep_milliseconds(5);
            return echo(task);
        },
        options,
        [&](Coordinator& coordinator) {
            const std::string text =
                text_of_error<StoppedError>([&] { coordinator.run(tasks, 7); });
            // Five, and at most one more that each rank had begun. Seven were there before.
            EXPECT_GE(n_done, 5);
            EXPECT_LE(n_done, 5 + n_ranks());
            EXPECT_THAT(text, HasSubstr("stopped: " + std::to_string(n_done + 7) +
                                        " of 107 tasks of stage compress are done"));
        });
}

TEST(Coordinator, AStopRequestWaitsNoLongerThanTheGrace) {
    const auto tasks = make_tasks(1);
    std::atomic<bool> release = false;
    std::atomic<bool> started = false;
    Coordinator::Options options;
    options.grace_seconds = 0.1;
    options.stop_requested = [&] { return started.load(); };
    // Pinned to rank 0, where this test can let it go.
    auto pinned = tasks;
    pinned[0].rank = 0;
    with_workers(
        [&](const Task& task) {
            started = started || task.id == "t0";
            while (task.id == "t0" && !release) {
                sleep_milliseconds(1);
            }
            return echo(task);
        },
        options,
        [&](Coordinator& coordinator) {
            EXPECT_THAT(text_of_error<StoppedError>([&] { coordinator.run(pinned); }),
                        HasSubstr("0 of 1 tasks"));
            release = true;
            // A task left over from a stage that has ended does not disturb the shut-down.
            sleep_milliseconds(100);
            started = false;
            EXPECT_THAT(coordinator.run(make_tasks(3, "u")), SizeIs(3));
        });
}

TEST(Coordinator, NoTaskIsHandedOutThatThereIsNoTimeFor) {
    // The first task is each rank's own; by it a unit of cost takes 30 ms. 1 s is left, so that one
    // of 3 s is not begun, though it would come first; the short ones are.
    std::vector<Task> tasks = make_tasks(static_cast<std::size_t>(n_ranks()), "first");
    for (std::size_t rank = 0; rank < tasks.size(); ++rank) {
        tasks[rank].rank = static_cast<int>(rank);
        tasks[rank].cost = 1.0;
    }
    for (const Task& task : make_tasks(6)) {
        tasks.push_back(task);
        tasks.back().cost = task.id == "t3" ? 100.0 : 1.0;
    }
    std::atomic<bool> began_long = false;
    Coordinator::Options options;
    options.seconds_left = [] { return 1.0; };
    with_workers(
        [&](const Task& task) {
            began_long = began_long || task.id == "t3";
            sleep_milliseconds(30);
            return echo(task);
        },
        options,
        [&](Coordinator& coordinator) {
            EXPECT_THAT(text_of_error<StoppedError>([&] { coordinator.run(tasks); }),
                        HasSubstr("stopped: " + std::to_string(5 + n_ranks()) + " of " +
                                  std::to_string(6 + n_ranks()) + " tasks"));
            EXPECT_FALSE(began_long);
        });
}

TEST(Coordinator, ARankThatIsAskedToStopTellsTheCoordinator) {
    // Each rank in turn is the only one that got the signal.
    for (int asked = 0; asked < n_ranks(); ++asked) {
        WorkerOptions worker;
        worker.heartbeat_seconds = 0.05;
        worker.stop_requested = [&] { return this_rank() == asked; };
        with_workers(
            [](const Task& task) {
                sleep_milliseconds(20);
                return echo(task);
            },
            {},
            [&](Coordinator& coordinator) {
                EXPECT_THAT(text_of_error<StoppedError>([&] { coordinator.run(make_tasks(1000)); }),
                            HasSubstr("of 1000 tasks of stage compress are done"));
            },
            worker);
    }
}

TEST(Coordinator, AStopRequestAfterTheLastTaskIsNoError) {
    std::atomic<int> n_done = 0;
    Coordinator::Options options;
    options.on_result = [&](const Task&, const TaskResult&) { ++n_done; };
    options.stop_requested = [&] { return n_done >= 1; };
    with_workers(echo, options, [&](Coordinator& coordinator) {
        const auto tasks = make_tasks(1);
        EXPECT_THAT(coordinator.run(tasks), SizeIs(1));
        EXPECT_THAT(text_of_error<StoppedError>([&] { coordinator.run(make_tasks(2, "u")); }),
                    HasSubstr("0 of 2 tasks"));
    });
}

TEST(Coordinator, ProgressCountsReusedTasks) {
    const auto tasks = make_tasks(4);
    std::vector<StageProgress> told;
    std::size_t n_results = 0;
    Coordinator::Options options;
    options.on_result = [&](const Task&, const TaskResult&) { ++n_results; };
    options.on_progress = [&](const StageProgress& progress) {
        EXPECT_EQ(n_results, told.size() + 1) << "the journal comes first";
        EXPECT_THAT(progress.last->text, HasSubstr("did t"));
        told.push_back(progress);
    };
    with_workers(
        [](const Task& task) {
            sleep_milliseconds(20);
            return echo(task);
        },
        options,
        [&](Coordinator& coordinator) {
            coordinator.run(tasks, 6);
            ASSERT_THAT(told, SizeIs(4));
            for (std::size_t i = 0; i < told.size(); ++i) {
                EXPECT_EQ(told[i].stage, "compress");
                EXPECT_EQ(told[i].done, 7 + i);
                EXPECT_EQ(told[i].total, 10U);
                EXPECT_EQ(told[i].reused, 6U);
                EXPECT_GT(told[i].elapsed_seconds, 0.0);
            }
            EXPECT_EQ(told.back().eta_seconds, 0.0);
            // Three tasks of 20 ms left, some of them running; generous upward for a loaded
            // machine.
            EXPECT_GT(told.front().eta_seconds, n_ranks() == 1 ? 0.03 : 0.0);
            EXPECT_LT(told.front().eta_seconds, 20.0);
        });
}

TEST(Coordinator, AnErrorInAHookEndsTheStage) {
    Coordinator::Options options;
    options.on_result = [](const Task&, const TaskResult&) { throw IoError("disk full"); };
    with_workers(echo, options, [](Coordinator& coordinator) {
        Task task{"compress", "one", "", 1.0, 0};
        EXPECT_THAT(text_of_error<IoError>([&] {
                        coordinator.run({&task, 1});
                    }),
                    HasSubstr("disk full"));
    });
}

TEST(Coordinator, BadTasksAreRefused) {
    with_workers(echo, {}, [](Coordinator& coordinator) {
        auto tasks = make_tasks(2);
        tasks[1].id = "t0";
        EXPECT_THAT(text_of_error<InternalError>([&] { coordinator.run(tasks); }),
                    HasSubstr("the id t0"));
        tasks = make_tasks(1);
        tasks[0].rank = n_ranks();
        EXPECT_THAT(text_of_error<InternalError>([&] { coordinator.run(tasks); }),
                    HasSubstr("pinned to rank"));
    });
}

TEST(Coordinator, TellsOnceOfRanksThatComputeDifferently) {
    comm::Communicator& world = test_world();
    const WorkerOptions options{0.05, {}, this_rank() == 0 ? "avx512, BLAS SkylakeX" : "avx2"};
    const auto work = [](const Task& task) {
        sleep_milliseconds(100);  // a few signs of life
        return echo(task);
    };
    if (this_rank() != 0) {
        serve(world, work, options);
        return;
    }
    start_logging(LogLevel::normal, 0);
    ::testing::internal::CaptureStderr();
    std::thread worker([&] { serve(world, work, options); });
    Coordinator coordinator(world, {});
    EXPECT_THAT(coordinator.run(make_tasks(6)), SizeIs(6));
    EXPECT_TRUE(coordinator.shut_down());
    worker.join();
    const std::string said = ::testing::internal::GetCapturedStderr();
    const std::string event = "ranks_compute_differently";
    const std::size_t first = said.find(event);
    EXPECT_EQ(first != std::string::npos, n_ranks() > 1) << said;
    if (n_ranks() > 1) {
        EXPECT_THAT(said, AllOf(HasSubstr("with=\"avx512, BLAS SkylakeX\""),
                                HasSubstr("with=\"avx2\""), HasSubstr("runtime.instruction_set")));
        EXPECT_EQ(said.find(event, first + 1), std::string::npos) << said;
    }
}

TEST(Coordinator, RunsOnRankZeroOnly) {
    if (this_rank() == 0) {
        GTEST_SKIP() << "this is rank 0";
    }
    EXPECT_THROW(Coordinator(test_world(), {}), InternalError);
}

TEST(Coordinator, TasksTellHowFarTheyAre) {
    std::vector<RunningTask> seen;
    Coordinator::Options options;
    options.on_progress = [&](const StageProgress& progress) {
        if (progress.last == nullptr) {
            seen.insert(seen.end(), progress.running.begin(), progress.running.end());
        }
    };
    with_workers(
        [](const Task& task) {
            tell_progress(1, 4);
            sleep_milliseconds(2500);
            return echo(task);
        },
        options, [&](Coordinator& coordinator) { (void)coordinator.run(make_tasks(1)); });
    if (this_rank() != 0) {
        return;
    }
    ASSERT_GE(seen.size(), 2U) << "once a second";
    EXPECT_EQ(seen.back().task, "t0");
    EXPECT_DOUBLE_EQ(seen.back().fraction, 0.25);
    EXPECT_GT(seen.back().seconds, 1.5);
}

}  // namespace
}  // namespace lathe
