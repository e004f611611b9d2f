#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "tests/methods/method_fixture.hpp"

namespace lathe {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;

constexpr std::size_t neurons = 96;

/// A block with a feed-forward layer of 96 neurons; gate and up apart or in one tensor.
ModelSpec feed_forward_spec(bool fused = false) {
    ModelSpec spec;
    spec.intermediate_size = neurons;
    const auto add = [&](const char* unit, Signal input, std::vector<Role> roles) {
        UnitSpec& own = spec.units.emplace_back();
        own.name = unit;
        own.block = 0;
        own.input = input;
        for (const Role role : roles) {
            own.tensors.push_back(spec.tensors.size());
            TensorSpec& tensor = spec.tensors.emplace_back();
            tensor.role = role;
            tensor.block = 0;
        }
    };
    add("o", Signal::attention_out, {Role::o_proj});
    add("gate_up", Signal::mlp_in,
        fused ? std::vector{Role::gate_up_proj} : std::vector{Role::gate_proj, Role::up_proj});
    add("down", Signal::mlp_hidden, {Role::down_proj});
    return spec;
}

enum Unit { o, gate_up, down };

CandidateEntry ffsplit(std::vector<std::string> fraction, std::vector<CandidateEntry> heavy,
                       std::vector<CandidateEntry> light) {
    CandidateEntry e =
        entry("ffsplit", {{"heavy_fraction", std::move(fraction)}, {"round_interval", {"8"}}});
    e.keys.push_back({"heavy", {}, {"job.yaml:9:9"}, std::move(heavy)});
    e.keys.push_back({"light", {}, {"job.yaml:10:9"}, std::move(light)});
    return e;
}

const CandidateEntry dense = entry("dense", {});
const CandidateEntry dropped = entry("dropped", {});
const CandidateEntry codes8 = entry("integer", {{"num_bits", {"8"}}, {"solver", {"rtn"}}});
const CandidateEntry codes3 = entry("integer", {{"num_bits", {"3"}}, {"solver", {"gptq"}}});
const CandidateEntry narrow = entry("low_rank", {{"rank", {"4"}}});

std::vector<Setting> settings_of(const CandidateEntry& e, Unit unit, bool fused = false) {
    const ModelSpec spec = feed_forward_spec(fused);
    std::vector<Setting> settings = expand_for_unit({e}, spec, spec.units[unit]);
    EXPECT_EQ(settings.back().method, "dense");  // which every unit has
    settings.pop_back();
    return settings;
}

std::string reason(const Setting& setting, Unit unit, const Shape& shape) {
    return find_method("ffsplit", "")
        .refuses(setting, feed_forward_spec().units[unit], shape, DType::f32);
}

UnitSolution solve(const Setting& setting, const LinearUnit& unit) {
    const SomeBackend backend(2);
    return find_method("ffsplit", "")
        .solve({&setting, 1}, unit.tensors(), unit.statistics(), backend.get())
        .at(0);
}

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

TEST(FfSplitMethod, OfDenseAndDroppedPartsIsExact) {
    for (const Unit kind : {gate_up, down}) {
        const LinearUnit unit(kind == down ? neurons : 40, {kind == down ? 40 : neurons});
        const UnitSolution whole =
            solve(settings_of(ffsplit({"0.25"}, {dense}, {dense}), kind).at(0), unit);
        EXPECT_EQ(unit.direct_error(whole), 0.0);
        EXPECT_EQ(whole.error, 0.0);
        EXPECT_EQ(whole.tensors[0].encoding, "split");
    }
}

TEST(FfSplitMethod, HasTheBytesItSays) {
    const CandidateEntry e = ffsplit({"0.25", "0.5"}, {codes8, dense}, {codes3, narrow, dropped});
    for (const bool fused : {false, true}) {
        for (const Unit kind : {gate_up, down}) {
            const std::size_t rows = kind == down ? 40 : (fused ? 2 : 1) * neurons;
            const LinearUnit unit(kind == down ? neurons : 40, {rows});
            for (const Setting& s : settings_of(e, kind, fused)) {
                const Shape shape{rows, unit.d};
                ASSERT_EQ(reason(s, kind, shape), "");
                const UnitSolution solution = solve(s, unit);
                validate(solution.tensors[0], to_string(s));
                EXPECT_EQ(solution.tensors[0].shape, shape);
                EXPECT_EQ(stored_bytes(solution.tensors[0]),
                          find_method("ffsplit", "").bytes(s, shape, DType::f32))
                    << to_string(s);
                EXPECT_NEAR(solution.error, unit.direct_error(solution),
                            1e-3 * solution.error + 1e-6)
                    << to_string(s);
            }
        }
    }
}

TEST(FfSplitMethod, TheLightPartMakesUpForTheHeavyOne) {
    // Two bits for the heavy part leave much to make up for, and inputs are correlated. Without the
    // fit the light part is what its method makes of W_l by itself.
    const LinearUnit unit(neurons, {40});
    const CandidateEntry coarse = entry("integer", {{"num_bits", {"2"}}, {"solver", {"rtn"}}});
    const UnitSolution fitted =
        solve(settings_of(ffsplit({"0.5"}, {coarse}, {dense}), down).at(0), unit);
    std::vector<EncodedTensor> apart{fitted.tensors[0].pieces[0]};
    std::vector<float> light;
    for (std::size_t r = 0; r < 40; ++r) {
        const float* row = unit.weights[0].data() + r * neurons + neurons / 2;
        light.insert(light.end(), row, row + neurons / 2);
    }
    UnitSolution plain = fitted;
    std::memcpy(plain.tensors[0].pieces[1].parts[0].bytes.data(), light.data(), light.size() * 4);
    EXPECT_LT(unit.direct_error(fitted), 0.8 * unit.direct_error(plain));
}

TEST(FfSplitMethod, TheHeavyPartMakesUpForADroppedOne) {
    const LinearUnit unit(neurons, {40});
    const UnitSolution fitted =
        solve(settings_of(ffsplit({"0.5"}, {dense}, {dropped}), down).at(0), unit);
    UnitSolution plain = fitted;
    std::vector<float> heavy;
    for (std::size_t r = 0; r < 40; ++r) {
        const float* row = unit.weights[0].data() + r * neurons;
        heavy.insert(heavy.end(), row, row + neurons / 2);
    }
    std::memcpy(plain.tensors[0].pieces[0].parts[0].bytes.data(), heavy.data(), heavy.size() * 4);
    EXPECT_LT(unit.direct_error(fitted), 0.8 * unit.direct_error(plain));
}

TEST(FfSplitMethod, AHeavyOrderBeatsARandomOne) {
    // Columns of falling power, as neurons in order are, against the same columns shuffled: at the
    // same bytes the split of the former has the smaller error.
    LinearUnit ordered(neurons, {40});
    for (std::size_t i = 0; i < neurons; ++i) {
        for (std::size_t j = 0; j < neurons; ++j) {
            ordered.gram[i * neurons + j] *= 1.0 / double((1 + i) * (1 + j));
        }
    }
    std::vector<std::size_t> order(neurons);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::mt19937 random(5);
    std::ranges::shuffle(order, random);
    LinearUnit shuffled = ordered;
    for (std::size_t i = 0; i < neurons; ++i) {
        for (std::size_t j = 0; j < neurons; ++j) {
            shuffled.gram[i * neurons + j] = ordered.gram[order[i] * neurons + order[j]];
        }
        for (std::size_t r = 0; r < 40; ++r) {
            shuffled.weights[0][r * neurons + i] = ordered.weights[0][r * neurons + order[i]];
        }
    }
    for (const Setting& s :
         settings_of(ffsplit({"0.125", "0.25"}, {codes8}, {codes3, narrow, dropped}), down)) {
        EXPECT_LT(ordered.direct_error(solve(s, ordered)),
                  shuffled.direct_error(solve(s, shuffled)))
            << to_string(s);
    }
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
    EXPECT_THAT(refusal(ffsplit({"0.5"}, {dropped}, {dense})), HasSubstr("cannot be dropped"));
    EXPECT_THAT(refusal(ffsplit({"0.5"}, {entry("ffsplit", {})}, {dense})),
                HasSubstr("split again"));
    EXPECT_THAT(refusal(ffsplit({"0.5"}, {dense}, {entry("int", {})})),
                AllOf(HasSubstr("job.yaml:7:5"), HasSubstr("unknown method \"int\"")));
    EXPECT_THAT(refusal(ffsplit({"0.5"}, {dense}, {entry("dense", {{"targets", {"x"}}})})),
                HasSubstr("targets"));
}

}  // namespace
}  // namespace lathe
