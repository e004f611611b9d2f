#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "tests/methods/method_fixture.hpp"

namespace lathe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::vector<std::string> texts(const std::vector<Setting>& settings) {
    std::vector<std::string> result;
    for (const Setting& s : settings) {
        result.push_back(to_string(s));
    }
    return result;
}

std::string refusal(const CandidateEntry& e) {
    try {
        (void)expand_candidates({e});
    } catch (const UsageError& error) {
        return error.what();
    }
    return "accepted";
}

TEST(MethodTable, FindsMethodsAndListsThemForAnUnknownName) {
    EXPECT_EQ(find_method("integer", "x").name, "integer");
    EXPECT_THAT(refusal(entry("int", {})), AllOf(HasSubstr("job.yaml:7:5: "), HasSubstr("\"int\""),
                                                 HasSubstr("methods are dense, integer, nm, bcq")));
}

TEST(MethodTable, AlwaysHasTheSourceAsItIs) {
    EXPECT_THAT(texts(expand_candidates({})), ::testing::ElementsAre("dense dtype=source"));
    EXPECT_THAT(texts(expand_candidates({entry("dense", {{"dtype", {"source", "bfloat16"}}})})),
                ::testing::ElementsAre("dense dtype=source", "dense dtype=bfloat16"));
}

TEST(MethodTable, ExpandsToAllCombinationsInOrderAndDropsRepetitions) {
    const auto e = entry("integer", {{"group_size", {"032", "128"}}, {"num_bits", {"3", "4"}}});
    const std::string rest = " solver=admm symmetric=true";
    EXPECT_THAT(
        texts(expand_candidates({e, e})),
        ::testing::ElementsAre(
            "integer actorder=false block_size=128 dampening_frac=0.01 group_size=32 num_bits=3" +
                rest,
            "integer actorder=false block_size=128 dampening_frac=0.01 group_size=128 num_bits=3" +
                rest,
            "integer actorder=false block_size=128 dampening_frac=0.01 group_size=32 num_bits=4" +
                rest,
            "integer actorder=false block_size=128 dampening_frac=0.01 group_size=128 num_bits=4" +
                rest,
            "dense dtype=source"));
}

TEST(MethodTable, TargetsReplaceTheOtherCandidatesOfAUnit) {
    ModelSpec spec;
    spec.tensors.resize(2);
    spec.tensors[0].name = "model.layers.0.mlp.down_proj.weight";
    spec.tensors[1].name = "lm_head.weight";
    spec.units = {{"block_0000.down", 0, {0}}, {"head", {}, {1}}};
    const std::vector<CandidateEntry> entries = {
        entry("nm", {}), entry("bcq", {{"targets", {"head"}}}),
        entry("dense", {{"targets", {"re:.*down_proj", "head"}}})};
    const auto methods = [&](std::size_t unit) {
        std::vector<std::string> names;
        for (const Setting& s : expand_for_unit(entries, spec, spec.units[unit])) {
            names.push_back(s.method);
        }
        return names;
    };
    EXPECT_THAT(methods(0), ::testing::ElementsAre("dense"));
    EXPECT_THAT(methods(1), ::testing::ElementsAre("bcq", "dense"));
    spec.tensors[0].name = "other";
    EXPECT_THAT(methods(0), ::testing::ElementsAre("nm", "dense"));

    EXPECT_THAT(
        [&] { require_known_targets(entries, spec); },
        ::testing::ThrowsMessage<UsageError>(AllOf(
            HasSubstr("job.yaml:8:9: "), HasSubstr("re:.*down_proj"), HasSubstr("down, other"))));
    spec.tensors.emplace_back().name = "model.norm.weight";
    EXPECT_THAT(
        [&] {
            require_known_targets({entry("nm", {{"targets", {"norm"}}})}, spec);
        },
        ::testing::ThrowsMessage<UsageError>(
            AllOf(HasSubstr("targets names \"norm\""), HasSubstr("no candidate is for"))));
    EXPECT_THAT(
        [&] {
            require_known_targets({entry("nm", {{"targets", {"re:("}}})}, spec);
        },
        ::testing::ThrowsMessage<UsageError>(HasSubstr("is not a regular expression")));
}

TEST(MethodTable, NamesAnUnknownKeyWithItsPlaceAndTheValidOnes) {
    EXPECT_THAT(refusal(entry("integer", {{"grp_size", {"64"}}})),
                AllOf(HasSubstr("job.yaml:8:9: "), HasSubstr("unknown key \"grp_size\""),
                      HasSubstr("of method integer"),
                      HasSubstr("num_bits, group_size, symmetric, solver, actorder, "
                                "dampening_frac, block_size")));
}

TEST(MethodTable, RefusesValuesOutOfRange) {
    const std::vector<std::pair<std::string, std::string>> bad = {
        {"num_bits", "1"},        {"num_bits", "9"},       {"num_bits", "4.0"},
        {"num_bits", ""},         {"group_size", "0"},     {"group_size", "-64"},
        {"symmetric", "yes"},     {"solver", "adam"},      {"actorder", "1"},
        {"dampening_frac", "0"},  {"dampening_frac", "1"}, {"dampening_frac", "nan"},
        {"dampening_frac", "1%"}, {"block_size", "64"},
    };
    for (const auto& [key, value] : bad) {
        EXPECT_THAT(refusal(entry("integer", {{"num_bits", {"4"}}, {key, {value}}})),
                    key == "num_bits" ? HasSubstr("given twice")
                                      : HasSubstr(key + " of method integer is \"" + value + "\""));
        EXPECT_THAT(refusal(entry("integer", {{key, {value}}})),
                    AllOf(HasSubstr("job.yaml:8:9"), HasSubstr("expected")));
    }
    EXPECT_THAT(refusal(entry("dense", {{"dtype", {"float8"}}})),
                HasSubstr("source, float16 or bfloat16"));
    EXPECT_THAT(refusal(entry("integer", {{"num_bits", {}}})), HasSubstr("has no value"));
}

TEST(MethodTable, SpellsEqualValuesAlike) {
    EXPECT_EQ(setting("integer", {{"dampening_frac", {"1e-2"}}}), setting("integer", {}));
    EXPECT_EQ(setting("integer", {{"solver", {"rtn"}}, {"actorder", {"true"}}}),
              setting("integer", {{"solver", {"rtn"}}}));
}

// Large units are compressed in pieces of rows that begin where kernels begin a tile.
TEST(MethodTable, MethodsThatSolveRowsAloneGiveTheSameBytesInPieces) {
    constexpr std::size_t d = 160;
    const LinearUnit unit(d, {512 + 37});
    const std::vector<CandidateEntry> entries{
        entry("integer",
              {{"num_bits", {"3"}}, {"group_size", {"32"}}, {"solver", {"rtn", "gptq", "admm"}}}),
        entry("bcq", {{"num_bits", {"2"}}, {"solver", {"greedy", "gptq", "admm"}}}),
        entry("dense", {{"dtype", {"float16"}}})};
    const SomeBackend backend(2);
    std::size_t n_alone = 0;
    UnitStatistics with_factors = unit.statistics();
    std::vector<ErrorFeedback> asked;
    with_factors.stored_factor = [&](const ErrorFeedback& feedback) {
        asked.push_back(feedback);
        std::vector<float> factor(d * d);
        make_inverse_factor(unit.statistics().gram, feedback, backend.get(), {factor.data(), d, d});
        return factor;
    };
    for (const CandidateEntry& e : entries) {
        const MethodRow& method = find_method(e.method, "");
        ASSERT_NE(method.shared_by_rows, nullptr) << e.method;
        const std::vector<Setting> settings = method.expand(e);
        const auto whole = method.solve(settings, unit.tensors(), unit.statistics(), backend.get());
        asked.clear();
        std::vector<std::vector<EncodedTensor>> pieces(settings.size());
        for (const auto& [first, count] : {std::pair(0, 256), std::pair(256, 256 + 37)}) {
            const UnitTensor rows{unit.tensors().front().weight.row_range(first, count),
                                  {static_cast<std::size_t>(count), d},
                                  DType::f32};
            auto solved = method.solve(settings, {&rows, 1}, with_factors, backend.get());
            for (std::size_t s = 0; s < settings.size(); ++s) {
                pieces[s].push_back(std::move(solved[s].tensors.front()));
            }
        }
        for (std::size_t s = 0; s < settings.size(); ++s) {
            EXPECT_EQ(content_hash(join_rows(std::move(pieces[s]))),
                      content_hash(whole[s].tensors.front()))
                << to_string(settings[s]);
            const auto factor = method.shared_by_rows(settings[s]).inverse_factor;
            EXPECT_TRUE(!factor || std::ranges::count(asked, *factor) == 2)
                << to_string(settings[s]) << " made it anew, or read it twice";
        }
    }
    for (const MethodRow& method : method_table()) {
        n_alone += method.shared_by_rows != nullptr ? 1 : 0;
    }
    EXPECT_EQ(n_alone, entries.size());
}

}  // namespace
}  // namespace lathe
