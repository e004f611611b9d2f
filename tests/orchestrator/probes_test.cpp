#include "orchestrator/search/probes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lathe {
namespace {

using ::testing::DoubleEq;
using ::testing::DoubleNear;
using ::testing::ElementsAre;

Candidate codes(const char* num_bits, std::uint64_t bytes, double relative_error) {
    return {0, {"integer", {{"num_bits", num_bits}}}, bytes, 0.0, relative_error};
}

Candidate dropping(const char* heavy, std::uint64_t bytes, double relative_error) {
    return {0,
            {"ffsplit",
             {{"axis", "rows"},
              {"heavy", heavy},
              {"heavy.method", "dense"},
              {"heavy.dtype", "source"},
              {"layers", "1"},
              {"light.method", "dropped"},
              {"neurons", "96"}}},
            bytes,
            0.0,
            relative_error};
}

std::vector<std::size_t> probed(const ProbeGroup& group) {
    std::vector<std::size_t> places;
    for (const Probe& probe : group.probes) {
        places.push_back(probe.candidate);
    }
    return places;
}

const std::vector<Candidate> bits = {codes("2", 200, 0.08), codes("3", 300, 0.02),
                                     codes("4", 400, 0.005), codes("8", 800, 0.0001)};

TEST(ProbeGroups, AreTheSmallestAndTheLargestWithinAQuarter) {
    const std::vector<ProbeGroup> groups = probe_groups(bits, 1600);
    ASSERT_EQ(groups.size(), 1U);
    EXPECT_THAT(groups[0].candidates, ElementsAre(0, 1, 2, 3));
    EXPECT_THAT(probed(groups[0]), ElementsAre(0, 2));
    EXPECT_THAT(probed(probe_groups(bits, 100).at(0)), ElementsAre(0));  // none fits: the smallest
}

TEST(ProbeGroups, WhatDropsNeuronsIsTriedForItselfAlone) {
    std::vector<Candidate> all = bits;
    all.insert(all.begin(), dropping("32", 50, 0.5));
    all.push_back(dropping("64", 100, 0.3));
    const std::vector<ProbeGroup> groups = probe_groups(all, 1600);
    ASSERT_EQ(groups.size(), 2U);
    EXPECT_THAT(groups[0].candidates, ElementsAre(1, 2, 3, 4));
    EXPECT_THAT(probed(groups[0]), ElementsAre(1, 3));
    EXPECT_THAT(groups[1].candidates, ElementsAre(0, 5));
    EXPECT_THAT(probed(groups[1]), ElementsAre(0, 5));
}

TEST(DivergencesByProbes, FollowThePowerLawOfTheirOwnGroup) {
    std::vector<Candidate> all = bits;
    all.push_back(dropping("32", 50, 0.5));
    std::vector<ProbeGroup> groups = probe_groups(all, 1600);
    groups[0].probes[0].kl = 0.64;    // at 0.08
    groups[0].probes[1].kl = 0.0025;  // at 0.005: as the square of the error
    groups[1].probes[0].kl = 0.1;
    EXPECT_THAT(divergences_by_probes(all, groups),
                ElementsAre(DoubleNear(0.64, 1e-9), DoubleNear(0.04, 1e-9), DoubleEq(0.0025),
                            DoubleNear(0.0025 * 0.0001 / 0.005, 1e-12), DoubleEq(0.1)));
}

}  // namespace
}  // namespace lathe
