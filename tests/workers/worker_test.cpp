#include "workers/worker.hpp"

#include <algorithm>
#include <new>
#include <stdexcept>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/comm/control.hpp"
#include "lib/core/errors.hpp"

namespace lathe {
namespace {

using comm::ControlKind;
using ::testing::HasSubstr;

/// A worker on a second thread; the test is the coordinator.
class WorkerTest : public ::testing::Test {
protected:
    void start(const TaskHandler& handler) {
        worker_ = std::thread([this, handler] { serve(*world_, handler, {0.01}); });
    }
    void TearDown() override {
        comm::send_control(*world_, 0, ControlKind::stop);
        worker_.join();
    }
    TaskResult run(const std::string& id) {
        Task task;
        task.id = id;
        task.arguments = "arguments of " + id;
        comm::send_control(*world_, 0, ControlKind::task, to_json(task));
        return task_result_from_json(wait_for(ControlKind::result).text);
    }
    comm::Control wait_for(ControlKind kind) {
        while (true) {
            comm::Control control =
                comm::parse_control(world_->receive(0, comm::Tag::result).value());
            if (control.kind == kind) {
                return control;
            }
        }
    }

    std::unique_ptr<comm::Communicator> world_ = comm::make_local_communicator();
    std::thread worker_;
};

TEST_F(WorkerTest, SendsTheAnswerOfTheHandler) {
    start([](const Task& task) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        return task.id + " with " + task.arguments;
    });
    for (const char* id : {"a", "b"}) {
        const TaskResult result = run(id);
        EXPECT_EQ(result.id, id);
        EXPECT_TRUE(result.ok);
        EXPECT_EQ(result.exit_code, 0);
        EXPECT_EQ(result.text, std::string(id) + " with arguments of " + id);
        EXPECT_GE(result.seconds, 0.02);
        EXPECT_EQ(result.rank, 0);
    }
}

TEST_F(WorkerTest, ErrorsBecomeResults) {
    start([](const Task& task) -> std::string {
        if (task.id == "data") {
            throw DataError("shard 3 is cut off");
        }
        if (task.id == "standard") {
            throw std::runtime_error("broken");
        }
        if (task.id == "memory") {
            throw std::bad_alloc();
        }
        if (task.id == "odd") {
            throw 42;
        }
        return "fine";
    });
    const auto expect = [&](const char* id, int exit_code, const char* text) {
        const TaskResult result = run(id);
        EXPECT_EQ(result.id, id);
        EXPECT_FALSE(result.ok);
        EXPECT_EQ(result.exit_code, exit_code);
        EXPECT_THAT(result.text, HasSubstr(text));
    };
    expect("data", 65, "shard 3 is cut off");
    expect("standard", 70, "broken");
    expect("memory", 70, "out of memory");
    expect("odd", 70, "unknown type");
    EXPECT_TRUE(run("another").ok) << "a worker continues after an error";
}

TEST_F(WorkerTest, ShowsThatItLivesDuringALongTask) {
    start([](const Task&) {
        std::this_thread::sleep_for(std::chrono::milliseconds(300));
        return std::string();
    });
    Task task;
    task.id = "long";
    comm::send_control(*world_, 0, ControlKind::task, to_json(task));
    int n_heartbeats = 0;
    while (true) {
        const auto control = comm::parse_control(world_->receive(0, comm::Tag::result).value());
        if (control.kind == ControlKind::result) {
            break;
        }
        n_heartbeats += control.kind == ControlKind::heartbeat ? 1 : 0;
    }
    // Every 10 ms would be 30; a loaded machine makes fewer of them.
    EXPECT_GE(n_heartbeats, 3);
}

TEST(Worker, SignsOfLifeSayWhatItComputesWith) {
    const auto world = comm::make_local_communicator();
    Task task;
    task.id = "long enough for one";
    comm::send_control(*world, 0, ControlKind::task, to_json(task));
    comm::send_control(*world, 0, ControlKind::stop);
    const auto handler = [](const Task&) {
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
        return std::string();
    };
    serve(*world, handler, {0.01, {}, "avx2, BLAS Haswell"});
    int n_heartbeats = 0;
    while (const auto message = world->try_receive(0, comm::Tag::result)) {
        const comm::Control control = comm::parse_control(*message);
        if (control.kind == ControlKind::heartbeat) {
            EXPECT_EQ(control.text, "avx2, BLAS Haswell");
            ++n_heartbeats;
        }
    }
    EXPECT_GT(n_heartbeats, 0);
}

TEST(Worker, SaysThatItLeavesAndThenNothing) {
    const auto world = comm::make_local_communicator();
    comm::send_control(*world, 0, ControlKind::stop);
    EXPECT_EQ(serve(*world, [](const Task&) { return std::string(); }, {0.01}), std::nullopt);
    std::vector<ControlKind> kinds;
    while (const auto message = world->try_receive(0, comm::Tag::result)) {
        kinds.push_back(comm::parse_control(*message).kind);
    }
    ASSERT_FALSE(kinds.empty());
    EXPECT_EQ(kinds.back(), ControlKind::stopped);
    EXPECT_EQ(std::ranges::count(kinds, ControlKind::stopped), 1);
}

TEST(Worker, HandsOnTheExitCodeWhenNotAllRanksLeave) {
    const auto world = comm::make_local_communicator();
    const auto handler = [](const Task&) { return std::string(); };
    comm::send_control(*world, 0, ControlKind::stop, "75");
    EXPECT_EQ(serve(*world, handler, {0.01}), 75);
    comm::send_control(*world, 0, ControlKind::stop, "7x");
    EXPECT_THROW(serve(*world, handler, {0.01}), InternalError);
}

TEST(Worker, AMessageThatMakesNoSenseEndsIt) {
    const auto world = comm::make_local_communicator();
    comm::send_control(*world, 0, ControlKind::task, "no task");
    EXPECT_THROW(serve(*world, [](const Task&) { return std::string(); }), InternalError);
    std::string reason;
    while (const auto message = world->try_receive(0, comm::Tag::result)) {
        const comm::Control control = comm::parse_control(*message);
        reason = control.kind == ControlKind::failed ? control.text : "";
    }
    EXPECT_THAT(reason, HasSubstr("task message: not a JSON object")) << "the last word";
}

}  // namespace
}  // namespace lathe
