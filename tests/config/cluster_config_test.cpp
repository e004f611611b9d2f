#include "lib/config/cluster_config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"

namespace lathe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const std::string flops = "flops: {forward: 1e14, gram: 2e13, solve: 3e12}\n";
const std::string bandwidth = "bandwidth: {link: 1e10, network: 1e9, read: 2e9, write: 1e9}\n";
const std::string sizes = "nodes: 2\ndevices_per_node: 4\n";

std::string refusal_of(const std::string& yaml) {
    try {
        (void)read_cluster(yaml, "c.yaml");
    } catch (const UsageError& error) {
        return error.what();
    }
    return "none";
}

TEST(Cluster, FiguresAreNumbersOrMaps) {
    const ClusterConfig cluster = read_cluster(
        sizes + bandwidth +
            "flops:\n  forward: {value: 5.0e13, certainty: measured, source: a bench}\n"
            "  gram: {value: 1e13, certainty: scaled}\n  solve: 3e12\nmemory: 80GB\n",
        "c.yaml");
    EXPECT_EQ(cluster.n_devices(), 8U);
    EXPECT_EQ(cluster.memory, 80000000000U);
    EXPECT_EQ(cluster.name, "c.yaml");
    EXPECT_EQ(cluster.forward.value, 5e13);
    EXPECT_EQ(cluster.forward.certainty, Certainty::measured);
    EXPECT_EQ(cluster.forward.source, "a bench");
    EXPECT_EQ(cluster.gram.certainty, Certainty::scaled);
    EXPECT_EQ(cluster.solve.certainty, Certainty::assumed) << "if nobody says how sure it is";
    EXPECT_EQ(cluster.network.value, 1e9);
    EXPECT_EQ(cluster.task_seconds, 0.0);
}

TEST(Cluster, TheBundledOneIsRead) {
    const std::string file = LATHE_SOURCE_DIR "/configs/clusters/h100.yaml";
    const ClusterConfig cluster = read_cluster(read_file(file), file);
    EXPECT_EQ(cluster.n_devices(), 64U);
    EXPECT_FALSE(cluster.solve.source.empty());
}

TEST(Cluster, WhatIsMissingIsRefusedWithItsPlace) {
    EXPECT_THAT(refusal_of(""), HasSubstr("a cluster file is nothing; expected a map"));
    EXPECT_THAT(refusal_of("- 1\n"), HasSubstr("a cluster file is a list"));
    EXPECT_THAT(refusal_of("devices_per_node: 4\n" + flops + bandwidth),
                AllOf(HasSubstr("c.yaml:1:1"), HasSubstr("there is no nodes")));
    EXPECT_THAT(refusal_of("nodes: 4\n" + flops + bandwidth), HasSubstr("no devices_per_node"));
    EXPECT_THAT(refusal_of(sizes + bandwidth), HasSubstr("there is no flops.forward"));
    EXPECT_THAT(refusal_of(sizes + flops), HasSubstr("there is no bandwidth.link"));
    EXPECT_THAT(refusal_of(sizes + bandwidth + "flops: {forward: 1e12, solve: 1e12}\n"),
                AllOf(HasSubstr("c.yaml:4:8"), HasSubstr("there is no flops.gram")));
    EXPECT_THAT(
        refusal_of(sizes + bandwidth + "flops: {forward: {source: x}, gram: 1, solve: 1}\n"),
        HasSubstr("there is no flops.forward.value"));
    EXPECT_THAT(refusal_of(sizes + bandwidth + "flops:\n"), HasSubstr("there is no flops.forward"));
    EXPECT_THAT(refusal_of(sizes + bandwidth + "flops: {forward: , gram: 1, solve: 1}\n"),
                HasSubstr("there is no flops.forward"));
}

TEST(Cluster, ValuesOutOfRangeAreRefused) {
    for (const char* value :
         {"0", "-1e12", "1e300", ".inf", ".nan", "fast", "[1]", "1e12 FLOP/s"}) {
        EXPECT_THAT(
            refusal_of(sizes + bandwidth + "flops: {forward: " + value + ", gram: 1, solve: 1}\n"),
            AllOf(HasSubstr("c.yaml:4:"), HasSubstr("flops.forward")))
            << value;
        EXPECT_THAT(refusal_of(sizes + bandwidth + "flops: {forward: {value: " + value +
                               "}, gram: 1, solve: 1}\n"),
                    AllOf(HasSubstr("c.yaml:4:"), HasSubstr("flops.forward.value")))
            << value;
    }
    for (const char* value : {"0", "-1", "1.5", "1e9", "many", "100001"}) {
        EXPECT_THAT(refusal_of("nodes: " + std::string(value) + "\ndevices_per_node: 1\n" + flops +
                               bandwidth),
                    AllOf(HasSubstr("c.yaml:1:8"), HasSubstr("nodes")))
            << value;
    }
    for (const char* value : {"4x", "0", "-80GB", "80", "[80GB]", "lots"}) {
        const std::string refusal =
            refusal_of(sizes + flops + bandwidth + "memory: " + value + "\n");
        if (std::string(value) == "80") {
            EXPECT_EQ(refusal, "none") << "bytes";
            continue;
        }
        EXPECT_THAT(refusal, AllOf(HasSubstr("c.yaml:5:9"), HasSubstr("memory"))) << value;
    }
    EXPECT_THAT(refusal_of(sizes + flops + bandwidth + "cache: 1TB\n"),
                HasSubstr("there is no bandwidth.cached"));
    EXPECT_THAT(refusal_of(sizes + flops + bandwidth + "cache: none\n"),
                HasSubstr("cache is \"none\""));
    EXPECT_THAT(refusal_of(sizes + flops + bandwidth + "task_seconds: -1\n"),
                HasSubstr("task_seconds"));
}

TEST(Cluster, UnknownKeysAndWordsAreRefused) {
    EXPECT_THAT(refusal_of(sizes + flops + bandwidth + "node: 3\n"),
                AllOf(HasSubstr("c.yaml:5:1"), HasSubstr("node"), HasSubstr("nodes")));
    EXPECT_THAT(
        refusal_of(sizes + bandwidth + "flops: {forward: 1, gram: 1, solve: 1, eigen: 1}\n"),
        HasSubstr("unknown key \"eigen\" in flops"));
    EXPECT_THAT(refusal_of(sizes + bandwidth +
                           "flops: {forward: {value: 1, sure: yes}, gram: 1, solve: 1}\n"),
                HasSubstr("unknown key \"sure\" in flops.forward"));
    EXPECT_THAT(refusal_of(sizes + bandwidth +
                           "flops: {forward: {value: 1, certainty: hoped}, gram: 1, solve: 1}\n"),
                AllOf(HasSubstr("hoped"), HasSubstr("measured")));
    EXPECT_THAT(refusal_of(sizes + "nodes: 3\n" + flops + bandwidth), HasSubstr("nodes"));
}

}  // namespace
}  // namespace lathe
