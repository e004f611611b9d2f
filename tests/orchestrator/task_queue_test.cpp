#include "orchestrator/task_queue.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Task task_of(double cost, int rank = -1) {
    return {"stage", "task", "", cost, rank};
}

std::vector<std::size_t> take_all(TaskQueue& queue, int rank) {
    std::vector<std::size_t> positions;
    while (const auto position = queue.take(rank, true)) {
        positions.push_back(*position);
    }
    return positions;
}

TEST(TaskQueue, LongestFirstThenByPosition) {
    const std::vector<Task> tasks = {task_of(1), task_of(5), task_of(3), task_of(5), task_of(1)};
    TaskQueue queue(tasks, 1);
    EXPECT_THAT(take_all(queue, 0), ElementsAre(1, 3, 2, 0, 4));
    EXPECT_FALSE(queue.take(0, true).has_value());
}

TEST(TaskQueue, OnlyWhatThereIsTimeFor) {
    const std::vector<Task> tasks = {task_of(9), task_of(4), task_of(1), task_of(7, 1),
                                     task_of(2, all_ranks)};
    TaskQueue queue(tasks, 2);
    const auto shorter_than = [&](double limit) {
        return [&tasks, limit](std::size_t position) { return tasks[position].cost < limit; };
    };
    EXPECT_EQ(queue.take_joint(shorter_than(2)), std::nullopt);
    EXPECT_EQ(queue.take_joint(shorter_than(3)), 4U);
    // Of its own tasks a rank takes the first or none: they may build on one another.
    EXPECT_EQ(queue.take(1, false, shorter_than(5)), std::nullopt);
    EXPECT_EQ(queue.take(0, false, shorter_than(5)), 1U);
    EXPECT_EQ(queue.take(0, false, shorter_than(5)), 2U);
    EXPECT_EQ(queue.take(0, false, shorter_than(5)), std::nullopt);
    EXPECT_FALSE(queue.is_empty());
    EXPECT_EQ(queue.take(1, false), 3U);
    EXPECT_EQ(queue.take(1, false), 0U);
    EXPECT_TRUE(queue.is_empty());
}

TEST(TaskQueue, NoTasks) {
    TaskQueue queue({}, 2);
    EXPECT_FALSE(queue.take(1, true).has_value());
    EXPECT_FALSE(queue.needs(1));
}

TEST(TaskQueue, PinnedTasksGoFirstInTheOrderGivenToTheirRankOnly) {
    const std::vector<Task> tasks = {task_of(1, 1), task_of(9), task_of(7, 1), task_of(2, 0)};
    TaskQueue queue(tasks, 3);
    EXPECT_TRUE(queue.needs(1));
    EXPECT_FALSE(queue.needs(2));
    EXPECT_EQ(queue.take(1, false), 0U);
    EXPECT_EQ(queue.take(1, false), 2U);
    EXPECT_EQ(queue.take(2, false), 1U);
    EXPECT_EQ(queue.take(1, false), std::nullopt);
    EXPECT_EQ(queue.take(0, false), 3U);
    EXPECT_FALSE(queue.needs(1));
}

TEST(TaskQueue, TasksForAllRanksAreTakenByThemselvesInTheOrderGiven) {
    const std::vector<Task> tasks = {task_of(1, all_ranks), task_of(5), task_of(9, all_ranks)};
    TaskQueue queue(tasks, 2);
    EXPECT_TRUE(queue.needs(1));
    EXPECT_EQ(queue.take(1, false), 1U);
    EXPECT_EQ(queue.take(1, false), std::nullopt);
    EXPECT_EQ(queue.take_joint(), 0U);
    queue.finish(2);
    EXPECT_EQ(queue.take_joint(), std::nullopt);
    EXPECT_FALSE(queue.needs(1));
}

TEST(TaskQueue, ATaskPutBackGoesToAnotherRankAndGoesFirst) {
    const std::vector<Task> tasks = {task_of(9), task_of(1), task_of(2)};
    TaskQueue queue(tasks, 2);
    EXPECT_EQ(queue.take(0, false), 0U);
    EXPECT_EQ(queue.take(0, false), 2U);
    queue.put_back(2, 0);
    EXPECT_EQ(queue.take(0, false), 1U);
    EXPECT_EQ(queue.take(0, false), std::nullopt);
    EXPECT_EQ(queue.take(1, false), 2U);
}

TEST(TaskQueue, ALoneRankGetsItBack) {
    const std::vector<Task> tasks = {task_of(1)};
    TaskQueue queue(tasks, 2);
    EXPECT_EQ(queue.take(0, true), 0U);
    queue.put_back(0, 0);
    EXPECT_EQ(queue.take(0, true), 0U);
}

TEST(TaskQueue, ARemovedTaskIsNotHandedOut) {
    const std::vector<Task> tasks = {task_of(1), task_of(2), task_of(3, 0)};
    TaskQueue queue(tasks, 1);
    queue.finish(1);
    queue.finish(2);
    EXPECT_THAT(take_all(queue, 0), ElementsAre(0));
    queue.finish(0);  // not in it any more: nothing happens
}

TEST(TaskQueue, ATaskWaitsForThoseBeforeIt) {
    std::vector<Task> tasks = {task_of(1), task_of(5), task_of(9), task_of(8), task_of(0)};
    for (std::size_t position = 0; position < tasks.size(); ++position) {
        tasks[position].id = std::string(1, static_cast<char>('a' + position));
    }
    tasks[2].after = {"a", "not in the list"};
    tasks[3].after = {"a"};
    tasks[4].after = {"c", "d"};
    TaskQueue queue(tasks, 2);
    EXPECT_EQ(queue.take(0, false), 1U);
    EXPECT_EQ(queue.take(0, false), 0U);
    EXPECT_EQ(queue.take(1, false), std::nullopt);
    EXPECT_FALSE(queue.is_empty()) << "three wait";
    queue.finish(0);
    EXPECT_EQ(queue.take(0, false), 2U);
    EXPECT_EQ(queue.take(1, false), 3U);
    queue.put_back(3, 1);  // so what waits for it goes on waiting
    queue.finish(2);
    EXPECT_EQ(queue.take(1, false), std::nullopt);
    EXPECT_EQ(queue.take(0, false), 3U);
    queue.finish(3);
    EXPECT_EQ(queue.take(1, false), 4U);
    EXPECT_TRUE(queue.is_empty());
}

TEST(TaskQueue, WhatHasWaitedGoesFirst) {
    std::vector<Task> tasks = {task_of(9), task_of(8), task_of(1)};
    tasks[0].id = "first";
    tasks[2].after = {"first"};
    TaskQueue queue(tasks, 1);
    EXPECT_EQ(queue.take(0, true), 0U);
    queue.finish(0);
    EXPECT_THAT(take_all(queue, 0), ElementsAre(2, 1));
}

TEST(TaskQueue, APinnedTaskThatBeginsAfterOthersIsRefused) {
    std::vector<Task> tasks = {task_of(1), task_of(1, 0)};
    tasks[1].after = {"task"};
    EXPECT_THROW(TaskQueue(tasks, 1), InternalError);
}

TEST(TaskQueue, ARankThatDoesNotExistIsRefused) {
    const std::vector<Task> tasks = {task_of(1, 2)};
    try {
        const TaskQueue queue(tasks, 2);
        FAIL();
    } catch (const InternalError& error) {
        EXPECT_THAT(error.what(), HasSubstr("pinned to rank 2, but there are 2 ranks"));
    }
}

}  // namespace
}  // namespace lathe
