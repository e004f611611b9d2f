#include "orchestrator/search/genes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

using ::testing::ElementsAre;

const Setting dense{"dense", {}};
const Setting two{"integer", {{"num_bits", "2"}}};
const Setting four{"integer", {{"num_bits", "4"}}};

/// Three blocks of two units, and a head and what is in no unit that have no 2-bit candidate.
struct Example {
    ModelSpec spec;
    CandidateTable table;
    std::vector<std::vector<Option>> options;

    Example() {
        for (std::size_t b = 0; b < 3; ++b) {
            for (const char* name : {"qkv", "down"}) {
                add("block_000" + std::to_string(b) + "." + name, b, {dense, two, four});
            }
        }
        add("head", std::nullopt, {dense, four});
        add_row({dense, four});
    }
    void add(const std::string& name, std::optional<std::size_t> block,
             const std::vector<Setting>& settings) {
        spec.units.push_back({name, block, {}, {}});
        add_row(settings);
    }
    void add_row(const std::vector<Setting>& settings) {
        const std::size_t u = table.size();
        table.emplace_back();
        options.emplace_back();
        for (const Setting& setting : settings) {
            table.back().push_back({u, setting, 0, 0.0, 0.0});
            const std::uint64_t bits = setting == dense ? 16 : setting == four ? 4 : 2;
            options.back().push_back({(u + 1) * bits, 1.0 / static_cast<double>(bits)});
        }
    }
    [[nodiscard]] std::vector<Gene> genes(std::size_t tied_blocks) const {
        return make_genes(spec, table, options, tied_blocks);
    }
};

TEST(Genes, AUnitForItself) {
    const Example example;
    const std::vector<Gene> genes = example.genes(1);
    ASSERT_EQ(genes.size(), 8U);
    for (std::size_t g = 0; g < genes.size(); ++g) {
        EXPECT_THAT(genes[g].units, ElementsAre(g));
        EXPECT_EQ(genes[g].choices.size(), g >= 6 ? 2U : 3U);
    }
    const std::vector<Setting> choice = choice_of(genes, {0, 1, 2, 0, 1, 2, 1, 0});
    EXPECT_THAT(choice, ElementsAre(dense, two, four, dense, two, four, four, dense));
    EXPECT_TRUE(is_tied(genes, choice));
}

TEST(Genes, TiedBlocksShareSettingsAndAddTheirBytes) {
    const Example example;
    const std::vector<Gene> genes = example.genes(2);
    ASSERT_EQ(genes.size(), 6U);
    EXPECT_THAT(genes[0].units, ElementsAre(0, 2));  // qkv of blocks 0 and 1
    EXPECT_THAT(genes[1].units, ElementsAre(1, 3));
    EXPECT_THAT(genes[2].units, ElementsAre(4));  // block 2 has no partner
    EXPECT_THAT(genes[3].units, ElementsAre(5));
    EXPECT_THAT(genes[4].units, ElementsAre(6));
    EXPECT_THAT(genes[5].units, ElementsAre(7));
    EXPECT_EQ(genes[0].options[1].bytes, 2U * 1 + 2U * 3);
    EXPECT_DOUBLE_EQ(genes[0].options[1].score, 1.0);
    EXPECT_THAT(choice_of(genes, {2, 1, 0, 0, 1, 1}),
                ElementsAre(four, two, four, two, dense, dense, four, four));
    EXPECT_FALSE(is_tied(genes, {four, two, dense, two, dense, dense, four, four}));
}

TEST(Genes, OnlyWhatAllUnitsOfAGeneCanHave) {
    Example example;
    example.table[2].erase(example.table[2].begin() + 1);  // block 1's qkv goes without 2 bits
    example.options[2].erase(example.options[2].begin() + 1);
    EXPECT_THAT(example.genes(2)[0].choices, ElementsAre(std::vector{dense}, std::vector{four}));
}

/// As methods/ffsplit.hpp has it: all but the first neurons are dropped.
Setting dropping(const std::string& heavy, const std::string& axis) {
    return {"ffsplit",
            {{"axis", axis},
             {"heavy", heavy},
             {"heavy.method", "dense"},
             {"heavy.dtype", "source"},
             {"layers", "1"},
             {"light.method", "dropped"},
             {"neurons", "96"}}};
}

TEST(Genes, SettingsThatDropNeuronsTieTheUnitsOfABlock) {
    Example example;
    const auto offer = [&](std::size_t unit, const std::string& heavy, const std::string& axis,
                           double score) {
        example.table[unit].push_back({unit, dropping(heavy, axis), 0, 0.0, 0.0});
        example.options[unit].push_back({unit, score});
    };
    for (const std::size_t block : {0, 1}) {
        for (const char* heavy : {"32", "64"}) {
            offer(2 * block, heavy, "rows", 0.5);
            offer(2 * block + 1, heavy, "columns", 0.75);
        }
    }
    const std::vector<Gene> genes = example.genes(1);
    ASSERT_EQ(genes.size(), 6U);  // two pairs, two units of block 2, the head, what is in no unit
    EXPECT_THAT(genes[0].units, ElementsAre(0, 1));
    // Three by three that drop nothing, and two pairs that drop the same.
    ASSERT_EQ(genes[0].choices.size(), 3U * 3 + 2);
    EXPECT_THAT(genes[0].choices.back(),
                ElementsAre(dropping("64", "rows"), dropping("64", "columns")));
    EXPECT_EQ(genes[0].options.back().bytes, 0U + 1U);
    EXPECT_EQ(genes[0].options.back().score, 0.75);  // the same neurons: not 0.5 + 0.75
    EXPECT_EQ(genes[0].options.front().score, 2.0 / 16);

    std::vector<Setting> plan(8, dense);
    EXPECT_TRUE(is_tied(genes, plan));
    plan[0] = dropping("32", "rows");
    EXPECT_FALSE(is_tied(genes, plan));
    plan[1] = dropping("32", "columns");
    EXPECT_TRUE(is_tied(genes, plan));
    EXPECT_EQ(choice_of(genes, {genes[0].find(plan).value(), 0, 0, 0, 0, 0}), plan);

    const std::vector<Gene> tied = example.genes(2);
    EXPECT_THAT(tied[0].units, ElementsAre(0, 2, 1, 3));
    EXPECT_EQ(tied[0].options.back().score, 1.5);
    EXPECT_TRUE(is_tied(tied, choice_of(tied, {9, 0, 0, 0, 0})));
}

TEST(GeneLevels, AreTheFrontAndTheStartsOwn) {
    Example example;
    // Another 4-bit candidate, worse than the first at the same size: not on the front.
    const Setting rounded{"integer", {{"num_bits", "4"}, {"solver", "rtn"}}};
    example.table[0].push_back({0, rounded, 0, 0.0, 0.0});
    example.options[0].push_back({4, 0.3});
    const std::vector<Gene> genes = example.genes(1);
    const GeneLevels plain(genes, choice_of(genes, {2, 1, 1, 1, 1, 1, 0, 0}), {1000});
    EXPECT_EQ(plain.pool().genes[0].size(), 3U);  // 2, 4, 16 bits
    EXPECT_THAT(plain.start(), ElementsAre(1, 0, 0, 0, 0, 0, 1, 1));
    const GeneLevels with_own(genes, choice_of(genes, {3, 1, 1, 1, 1, 1, 0, 0}), {1000});
    ASSERT_EQ(with_own.pool().genes[0].size(), 4U);
    EXPECT_EQ(with_own.choice(with_own.start())[0], rounded);
    EXPECT_THAT(with_own.choice({3, 0, 0, 0, 0, 0, 0, 1}),
                ElementsAre(dense, two, two, two, two, two, four, dense));
    for (const auto& levels : with_own.pool().genes) {
        for (std::size_t l = 1; l < levels.size(); ++l) {
            EXPECT_LE(levels[l - 1].bytes, levels[l].bytes);
        }
    }
}

TEST(GeneLevels, KeepWhatIsFasterThoughLargerAndWorse) {
    Example example;
    for (Option& option : example.options[0]) {
        option.seconds = 2.0;
    }
    const Setting sparse{"nm", {{"pattern", "2:4"}}};
    example.table[0].push_back({0, sparse, 0, 0.0, 0.0});
    example.options[0].push_back({9, 0.35, 1.0});
    const std::vector<Gene> genes = example.genes(1);
    const GeneLevels levels(genes, choice_of(genes, {2, 1, 1, 1, 1, 1, 0, 0}), {1000, 50.0});
    EXPECT_EQ(levels.pool().genes[0].size(), 4U);
    EXPECT_EQ(levels.pool().limits.seconds, 50.0);
}

TEST(GeneLevels, RefuseASettingNoUnitHas) {
    const Example example;
    const std::vector<Gene> genes = example.genes(1);
    EXPECT_THROW(GeneLevels(genes, std::vector<Setting>(8, {"nm", {}}), {1000}), InternalError);
}

}  // namespace
}  // namespace lathe
