#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>

#include <gtest/gtest.h>

#include "tests/methods/ffsplit_fixture.hpp"

namespace lathe {
namespace {

using namespace ffsplit_test;

UnitSolution solve(const Setting& setting, const LinearUnit& unit) {
    const SomeBackend backend(2);
    return find_method("ffsplit", "")
        .solve({&setting, 1}, unit.tensors(), unit.statistics(), backend.get())
        .at(0);
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

TEST(FfSplitMethod, IsOutlinedAsItIsSolved) {
    for (const Unit kind : {gate_up, down}) {
        const LinearUnit unit(kind == down ? neurons : 40, {kind == down ? 40 : neurons});
        const Shape shape{kind == down ? 40 : neurons, unit.d};
        for (const Setting& s :
             settings_of(ffsplit({"0.25"}, {codes8, dense}, {codes3, dropped}), kind)) {
            const auto outline = outline_of(s, shape);
            ASSERT_TRUE(outline) << to_string(s);
            const EncodedTensor solved = solve(s, unit).tensors[0];
            EXPECT_EQ(outline->encoding, solved.encoding);
            EXPECT_EQ(outline->settings, solved.settings);
            EXPECT_EQ(outline->shape, shape);
            ASSERT_EQ(outline->pieces.size(), solved.pieces.size());
            for (std::size_t i = 0; i < solved.pieces.size(); ++i) {
                EXPECT_EQ(outline->pieces[i].encoding, solved.pieces[i].encoding);
                EXPECT_EQ(outline->pieces[i].settings, solved.pieces[i].settings);
                EXPECT_EQ(outline->pieces[i].shape, solved.pieces[i].shape);
            }
        }
        // Whose encoding only the solution says.
        const auto other = settings_of(ffsplit({"0.25"}, {narrow}, {dropped}), kind).at(0);
        EXPECT_FALSE(outline_of(other, shape));
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
            ordered.gram[i * neurons + j] /= static_cast<float>((1 + i) * (1 + j));
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

}  // namespace
}  // namespace lathe
