#include "orchestrator/stage_state.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lathe {
namespace {

using ::testing::HasSubstr;

std::vector<Task> three_tasks() {
    return {{"stage", "a", "", 1.0, -1}, {"stage", "b", "", 3.0, -1}, {"stage", "c", "", 2.0, 1}};
}

TaskResult result_of(const std::string& id, double seconds) {
    TaskResult result;
    result.id = id;
    result.ok = true;
    result.seconds = seconds;
    return result;
}

TEST(StageState, FindsOpenTasksOnly) {
    const auto tasks = three_tasks();
    StageState stage(tasks, 2);
    EXPECT_EQ(stage.find_open("b"), 1U);
    EXPECT_EQ(stage.find_open("x"), std::nullopt);
    stage.finish(1, result_of("b", 1.0));
    EXPECT_EQ(stage.find_open("b"), std::nullopt);
    EXPECT_EQ(stage.n_done(), 1U);
    EXPECT_EQ(stage.queue().take(0, true), 0U) << "b, the longest, is done";
}

TEST(StageState, EstimatesFromTheTasksThatAreDone) {
    const auto tasks = three_tasks();
    StageState stage(tasks, 2);
    EXPECT_EQ(stage.estimated_open_seconds(), 0.0);
    stage.finish(1, result_of("b", 12.0));  // cost 3: 4 seconds for 1
    EXPECT_DOUBLE_EQ(stage.estimated_seconds(0), 4.0);
    EXPECT_DOUBLE_EQ(stage.estimated_open_seconds(), 12.0);   // a and c
    EXPECT_DOUBLE_EQ(stage.estimated_pinned_seconds(), 8.0);  // c
    stage.finish(2, result_of("c", 8.0));
    EXPECT_NEAR(stage.estimated_open_seconds(), 4.0, 1e-9);
    stage.finish(0, result_of("a", 4.0));
    EXPECT_EQ(stage.estimated_open_seconds(), 0.0);
    EXPECT_EQ(stage.estimated_pinned_seconds(), 0.0);
}

TEST(StageState, ATaskForAllRanksIsDoneWhenAllHaveAnswered) {
    const std::vector<Task> tasks = {{"stage", "a", "", 2.0, all_ranks}};
    StageState stage(tasks, 2);
    const auto answer = [](int rank, double seconds, ExitCode code) {
        TaskResult result = result_of("a", seconds);
        result.rank = rank;
        result.ok = code == ExitCode::done;
        result.exit_code = static_cast<int>(code);
        result.text = std::to_string(rank);
        return result;
    };
    EXPECT_EQ(stage.answer(0, answer(1, 5.0, ExitCode::done)), std::nullopt);
    const auto done = stage.answer(0, answer(0, 3.0, ExitCode::done)).value();
    EXPECT_TRUE(done.ok);
    EXPECT_EQ(done.text, "0");
    EXPECT_EQ(done.seconds, 5.0);
    // A rank that stopped because of another is not the one to name, unless no other answer comes.
    EXPECT_EQ(stage.answer(0, answer(0, 1.0, ExitCode::stopped)), std::nullopt);
    EXPECT_FALSE(stage.answer(0, answer(1, 1.0, ExitCode::stopped)).value().ok);
    EXPECT_EQ(stage.answer(0, answer(0, 1.0, ExitCode::stopped)), std::nullopt);
    EXPECT_EQ(stage.answer(0, answer(1, 1.0, ExitCode::bad_data)).value().text, "1");
}

TEST(StageState, TasksThatCostNothingAreCountedAlike) {
    const std::vector<Task> tasks = {{"stage", "a", "", 0.0, -1}, {"stage", "b", "", 0.0, -1}};
    StageState stage(tasks, 1);
    stage.finish(0, result_of("a", 2.0));
    EXPECT_NEAR(stage.estimated_open_seconds(), 2.0, 1e-9);
}

TEST(StageState, AnInternalErrorAndOneOfTheFileSystemAreTriedTwice) {
    const auto tasks = three_tasks();
    for (const ExitCode code : {ExitCode::internal, ExitCode::io}) {
        StageState stage(tasks, 2);
        EXPECT_EQ(stage.queue().take(0, false), 1U);
        EXPECT_TRUE(stage.retry_or_fail(1, 0, {code, "first"}));
        EXPECT_FALSE(stage.failure().has_value());
        EXPECT_EQ(stage.queue().take(0, false), 0U) << "b waits for the other rank";
        EXPECT_FALSE(stage.retry_or_fail(1, 1, {code, "second"}));
        EXPECT_EQ(stage.failure()->code, code);
        EXPECT_EQ(stage.failure()->message, "task b failed on ranks 0 and 1: second");
    }
}

TEST(StageState, OtherErrorsAndPinnedTasksAreTriedOnce) {
    const auto tasks = three_tasks();
    for (const ExitCode code : {ExitCode::usage, ExitCode::bad_data, ExitCode::missing_input,
                                ExitCode::infeasible, ExitCode::stopped}) {
        StageState stage(tasks, 2);
        EXPECT_FALSE(stage.retry_or_fail(0, 1, {code, "text"}));
        EXPECT_EQ(stage.failure()->code, code);
        EXPECT_EQ(stage.failure()->message, "task a failed on rank 1: text");
    }
    StageState stage(tasks, 2);
    EXPECT_FALSE(stage.retry_or_fail(2, 1, {ExitCode::internal, "text"}));
    EXPECT_THAT(stage.failure()->message, HasSubstr("task c failed on rank 1"));
}

TEST(StageState, TheFirstFailureCounts) {
    const auto tasks = three_tasks();
    StageState stage(tasks, 2);
    stage.fail({ExitCode::io, "first"});
    stage.fail({ExitCode::usage, "second"});
    EXPECT_EQ(stage.failure()->message, "first");
}

TEST(StageState, TwoTasksOfOneNameAreRefused) {
    auto tasks = three_tasks();
    tasks[2].id = "a";
    try {
        const StageState stage(tasks, 2);
        FAIL();
    } catch (const InternalError& error) {
        EXPECT_THAT(error.what(), HasSubstr("the id a"));
    }
}

}  // namespace
}  // namespace lathe
