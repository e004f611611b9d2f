#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "tests/methods/ffsplit_fixture.hpp"

namespace lathe {
namespace {

using namespace ffsplit_test;

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(FfSplitMethod, MakesEveryCombinationOfItsParts) {
    const auto settings =
        settings_of(ffsplit({"0.125", "0.5"}, {codes8, dense}, {codes3, narrow, dropped}), down);
    EXPECT_EQ(settings.size(), 2U * 2 * 3);
    EXPECT_EQ(to_string(settings[5]),
              "ffsplit axis=columns heavy=16 heavy.dtype=source heavy.method=dense layers=1 "
              "light.method=dropped neurons=96");
    const auto defaults = settings_of(entry("ffsplit", {{"round_interval", {"8"}}}), down);
    EXPECT_EQ(defaults.size(), 2U * 1 * 4);
}

TEST(FfSplitMethod, HasTheFewestNeuronsThatHoldTheEnergyUpToTheInterval) {
    const auto sizes = [](const std::vector<double>& held, Unit unit) {
        std::vector<std::string> all;
        for (const Setting& s :
             settings_of(by_energy({"0.5", "0.999", "0.7"}, {codes3}), unit, held)) {
            all.push_back(s.values.at("heavy"));
        }
        return all;
    };
    // 1, 10 and 2 neurons of the halving ones; of equal ones 48, 96 and 68.
    EXPECT_THAT(sizes(halving(), down), ::testing::ElementsAre("8", "16", "8"));
    EXPECT_EQ(sizes(halving(), gate_up), sizes(halving(), down));
    std::vector<double> equal(neurons);
    for (std::size_t n = 0; n < neurons; ++n) {
        equal[n] = double(n + 1) / neurons;
    }
    EXPECT_THAT(sizes(equal, down), ::testing::ElementsAre("48", "96", "72"));
    CandidateEntry dense_parts = by_energy({"0.999"}, {dropped});
    dense_parts.keys[2].entries = {dense};
    EXPECT_EQ(to_string(settings_of(dense_parts, gate_up, halving()).at(0)),
              "ffsplit axis=rows heavy=16 heavy.dtype=source heavy.method=dense heavy_energy=0.999 "
              "layers=1 light.method=dropped neurons=96");
}

TEST(FfSplitMethod, CountsTheLeastBytesWhileTheEnergyIsNotKnown) {
    const CandidateEntry e = by_energy({"0.5"}, {codes3, narrow, dropped});
    const Shape shape{40, neurons};
    const auto bytes = [&](const Setting& s) {
        return find_method("ffsplit", "").bytes(s, shape, DType::f32);
    };
    const std::vector<Setting> unknown = settings_of(e, down);
    ASSERT_EQ(unknown.size(), 3U);
    for (std::size_t i = 0; i < unknown.size(); ++i) {
        std::vector<std::uint64_t> all;
        for (std::size_t heavy = 8; heavy < neurons; heavy += 8) {
            std::vector<double> held(neurons, 0.0);
            std::fill(held.begin() + static_cast<std::ptrdiff_t>(heavy) - 1, held.end(), 1.0);
            const Setting known = settings_of(e, down, held).at(i);
            EXPECT_EQ(known.values.at("heavy"), std::to_string(heavy));
            all.push_back(bytes(known));
        }
        EXPECT_EQ(reason(unknown[i], down, shape), "");
        EXPECT_EQ(bytes(unknown[i]), std::ranges::min(all)) << to_string(unknown[i]);
        EXPECT_LT(bytes(unknown[i]), std::ranges::max(all)) << to_string(unknown[i]);
        EXPECT_GT(find_method("ffsplit", "").flops(unknown[i], shape), 0.0);
        EXPECT_EQ(tie_of(unknown[i]), "");
    }
}

TEST(FfSplitMethod, SuitsOnlyTheLayersInWhichTheEnergyLeavesLightNeurons) {
    const CandidateEntry e = by_energy({"0.95"}, {codes3});
    const ModelSpec spec = feed_forward_spec();
    const std::vector<DType> dtypes(spec.tensors.size(), DType::f32);
    std::vector<double> late(neurons, 0.0);  // the last neuron has all of it
    late.back() = 1.0;
    const std::vector<double> none(neurons, 0.0);
    for (const std::vector<double>& held : {late, none}) {
        const Setting all = settings_of(e, down, held).at(0);
        EXPECT_THAT(reason(all, down, {40, neurons}),
                    AllOf(HasSubstr("heavy_energy"), HasSubstr("96 of the 96 neurons")));
        EXPECT_THAT(settings_of_no_use({e}, spec, dtypes, {&held, 1}),
                    ::testing::ElementsAre(AllOf(HasSubstr("job.yaml:7:5"), HasSubstr("96 of"))));
    }
    // Known before: no multiple of the interval leaves any.
    CandidateEntry coarse = e;
    coarse.keys[1].values = {"96"};
    EXPECT_THAT(reason(settings_of(coarse, down).at(0), down, {40, neurons}),
                HasSubstr("no size for the heavy part"));
}

TEST(FfSplitMethod, TiesUnitsOfWhichOneDropsNeurons) {
    const auto ties = [&](Unit unit) {
        std::vector<std::string> all;
        for (const Setting& s :
             settings_of(ffsplit({"0.25", "0.5"}, {dense}, {codes3, dropped}), unit)) {
            all.push_back(tie_of(s));
        }
        return all;
    };
    EXPECT_THAT(ties(down), ::testing::ElementsAre("", "24 neurons", "", "48 neurons"));
    EXPECT_EQ(ties(gate_up), ties(down));
}

TEST(FfSplitMethod, RefusesWhatCannotBe) {
    EXPECT_THAT(reason(settings_of(ffsplit({"0.25"}, {dense}, {dropped}), o).at(0), o, {40, 40}),
                HasSubstr("unit o is no part of a feed-forward layer"));
    for (const auto& [fraction, count] : {std::pair("0.01", "0 of"), std::pair("0.99", "96 of")}) {
        EXPECT_THAT(reason(settings_of(ffsplit({fraction}, {dense}, {dropped}), down).at(0), down,
                           {40, 96}),
                    AllOf(HasSubstr(count), HasSubstr("heavy_fraction")));
    }
    const CandidateEntry wide = entry("low_rank", {{"rank", {"41"}}});
    EXPECT_THAT(reason(settings_of(ffsplit({"0.25"}, {dense}, {wide}), down).at(0), down, {40, 96}),
                AllOf(HasSubstr("light part"), HasSubstr("rank 41")));
}

TEST(FfSplitMethod, NamesThePlaceOfWhatItDoesNotKnow) {
    const auto refusal = [](const CandidateEntry& e) -> std::string {
        try {
            (void)expand_candidates({e});
        } catch (const UsageError& error) {
            return error.what();
        }
        return "accepted";
    };
    EXPECT_THAT(refusal(ffsplit({"1.5"}, {dense}, {dropped})),
                AllOf(HasSubstr("job.yaml:8:9"), HasSubstr("heavy_fraction")));
    EXPECT_THAT(refusal(by_energy({"1"}, {dropped})),
                AllOf(HasSubstr("job.yaml:11:9"), HasSubstr("heavy_energy")));
    CandidateEntry both = ffsplit({"0.5"}, {dense}, {dropped});
    both.keys.push_back({"heavy_energy", {"0.5"}, {"job.yaml:12:9"}, {}});
    EXPECT_THAT(refusal(both), AllOf(HasSubstr("job.yaml:12:9"), HasSubstr("give one")));
    EXPECT_THAT(refusal(ffsplit({"0.5"}, {dropped}, {dense})), HasSubstr("cannot be dropped"));
    EXPECT_THAT(refusal(ffsplit({"0.5"}, {dense}, {entry("low_rank", {{"error", {"0.1"}}})})),
                AllOf(HasSubstr("job.yaml:7:5"), HasSubstr("rank by error")));
    EXPECT_THAT(refusal(ffsplit({"0.5"}, {entry("ffsplit", {})}, {dense})),
                HasSubstr("split again"));
    EXPECT_THAT(refusal(ffsplit({"0.5"}, {dense}, {entry("int", {})})),
                AllOf(HasSubstr("job.yaml:7:5"), HasSubstr("unknown method \"int\"")));
    EXPECT_THAT(refusal(ffsplit({"0.5"}, {dense}, {entry("dense", {{"targets", {"x"}}})})),
                HasSubstr("targets"));
}

}  // namespace
}  // namespace lathe
