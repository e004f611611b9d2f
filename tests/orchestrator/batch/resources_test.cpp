#include "orchestrator/batch/resources.hpp"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"

namespace lathe::batch {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::uint64_t gibibyte = std::uint64_t{1} << 30;
constexpr std::uint64_t much_disk = std::numeric_limits<std::uint64_t>::max();

Demand demand() {
    Demand demand;
    demand.memory_bytes_per_rank = 8 * gibibyte;
    demand.disk_bytes = 100 * gibibyte;
    demand.thread_seconds = 64 * 3600.0;
    return demand;
}

PartitionLimits limits() {
    return {64 * gibibyte, 16, 8, 600};
}

template <typename E>
std::string refusal(const Demand& demand, const Wishes& wishes,
                    const std::optional<PartitionLimits>& limits, std::uint64_t disk = much_disk) {
    try {
        static_cast<void>(choose_resources(demand, wishes, limits, disk));
    } catch (const E& error) {
        return error.what();
    }
    ADD_FAILURE() << "not refused";
    return "";
}

TEST(Resources, WhatIsLeftOpenComesFromThePlan) {
    Wishes wishes;
    wishes.nodes = 2;
    wishes.ntasks_per_node = 4;
    const Resources chosen = choose_resources(demand(), wishes, limits(), much_disk);
    EXPECT_EQ(chosen.cpus_per_task, 4);  // 16 of a node for 4 ranks
    EXPECT_EQ(chosen.memory_bytes_per_node, 4 * (10 * gibibyte + gibibyte / 2));
    EXPECT_DOUBLE_EQ(*chosen.seconds, 2 * 3600.0);  // 64 h of a thread on 32
    EXPECT_EQ(chosen.minutes, 180);                 // and half as much again
    EXPECT_THAT(chosen.remarks, IsEmpty());
}

TEST(Resources, WhatIsGivenCounts) {
    Wishes wishes{2, 4, 3, 0, 77, 33 * gibibyte, "main"};
    const Resources chosen = choose_resources(demand(), wishes, limits(), much_disk);
    EXPECT_EQ(chosen.cpus_per_task, 3);
    EXPECT_EQ(chosen.minutes, 77);
    EXPECT_EQ(chosen.memory_bytes_per_node, 33 * gibibyte);
    // 64 h over 2 x 4 x 3 threads are 160 min.
    EXPECT_THAT(chosen.remarks, ElementsAre(HasSubstr("2.1 times the time limit")));
}

TEST(Resources, ARankForEachGpuAndATimeThatMustBeGiven) {
    Demand on_gpus = demand();
    on_gpus.memory_bytes_per_rank = 2 * gibibyte;
    on_gpus.thread_seconds.reset();
    Wishes wishes;
    wishes.gpus_per_node = 8;
    EXPECT_THAT(refusal<UsageError>(on_gpus, wishes, limits()), HasSubstr("--time"));
    wishes.minutes = 60;
    const Resources chosen = choose_resources(on_gpus, wishes, limits(), much_disk);
    EXPECT_EQ(chosen.ntasks_per_node, 8);
    EXPECT_EQ(chosen.cpus_per_task, 2);
    EXPECT_EQ(chosen.minutes, 60);
}

TEST(Resources, TheTimeIsNeitherTooShortNorOverTheLimit) {
    Demand quick = demand();
    quick.thread_seconds = 10.0;
    EXPECT_EQ(choose_resources(quick, {}, limits(), much_disk).minutes, 15);
    Demand slow = demand();
    slow.thread_seconds = 16 * 20 * 3600.0;  // 20 h on a node
    Wishes one_node;
    one_node.nodes = 1;
    const Resources chosen = choose_resources(slow, one_node, limits(), much_disk);
    EXPECT_EQ(chosen.minutes, 600);
    EXPECT_THAT(chosen.remarks, ElementsAre(HasSubstr("2.0 times")));
    Wishes long_time;
    long_time.minutes = 601;
    EXPECT_THAT(refusal<InfeasibleError>(demand(), long_time, limits()),
                AllOf(HasSubstr("10:01:00"), HasSubstr("10:00:00")));
}

TEST(Resources, NodesThatEndTheJobInTime) {
    Demand slow = demand();
    slow.thread_seconds = 16 * 20 * 3600.0;  // 20 h on a node, 30 with the margin
    const auto nodes = [&](const Wishes& wishes, const PartitionLimits& limits) {
        return choose_resources(slow, wishes, limits, much_disk).nodes;
    };
    EXPECT_EQ(nodes({}, limits()), 3);  // within the partition's 10 h
    const Resources chosen = choose_resources(slow, {}, limits(), much_disk);
    EXPECT_EQ(chosen.minutes, 600);  // 20 h on 3 nodes, and half as much again
    EXPECT_THAT(chosen.remarks, IsEmpty());
    Wishes given;
    given.minutes = 5 * 60;
    EXPECT_EQ(nodes(given, limits()), 6);
    given.minutes = 60;
    EXPECT_EQ(nodes(given, limits()), 8);  // there are no more
    given.nodes = 2;
    EXPECT_EQ(nodes(given, limits()), 2);
    PartitionLimits endless = limits();
    endless.minutes.reset();
    EXPECT_EQ(nodes({}, endless), 2);  // within a day
    slow.tasks = 5;                    // ranks beyond those would find nothing to do
    given.nodes = 0;
    EXPECT_EQ(nodes(given, limits()), 5);
    slow.thread_seconds.reset();
    EXPECT_EQ(nodes(given, limits()), 1);
    slow = demand();
    EXPECT_EQ(nodes({}, limits()), 1);
}

TEST(Resources, WhatCannotFitIsRefusedWithBothFigures) {
    Wishes wishes;
    wishes.ntasks_per_node = 9;  // 72 GiB = 77.31 GB; a node has 64 GiB = 68.72 GB
    EXPECT_THAT(refusal<InfeasibleError>(demand(), wishes, limits()),
                AllOf(HasSubstr("77.31 GB"), HasSubstr("68.72 GB")));
    wishes.ntasks_per_node = 2;
    wishes.memory_bytes_per_node = 15 * gibibyte;
    EXPECT_THAT(refusal<InfeasibleError>(demand(), wishes, limits()),
                AllOf(HasSubstr("--mem"), HasSubstr("16.11 GB")));
    EXPECT_THAT(refusal<InfeasibleError>(demand(), {}, limits(), 99 * gibibyte),
                AllOf(HasSubstr("107.37 GB"), HasSubstr("106.30 GB")));
    Demand half_done = demand();
    half_done.disk_there = 50 * gibibyte;
    EXPECT_NO_THROW(static_cast<void>(choose_resources(half_done, {}, limits(), 50 * gibibyte)));
    Wishes many;
    many.nodes = 9;
    EXPECT_THAT(refusal<InfeasibleError>(demand(), many, limits()), HasSubstr("9 nodes"));
}

TEST(Resources, WithoutAnAnswerOfSlurmNothingIsCheckedAndThatIsSaid) {
    const Resources chosen = choose_resources(demand(), {}, std::nullopt, much_disk);
    EXPECT_EQ(chosen.cpus_per_task, 0);
    EXPECT_THAT(chosen.remarks, SizeIs(2));  // no limits, no processors
}

TEST(Resources, Memory) {
    EXPECT_EQ(memory_in("350G"), 350 * gibibyte);
    EXPECT_EQ(memory_in("2t"), 2048 * gibibyte);
    EXPECT_EQ(memory_in("1024"), gibibyte);
    EXPECT_EQ(memory_in("0"), 0U);
    for (const char* text : {"", "G", "12X", "12GB", "-1", "1.5G", "16777216T"}) {
        EXPECT_THROW(static_cast<void>(memory_in(text)), UsageError) << text;
    }
}

}  // namespace
}  // namespace lathe::batch
