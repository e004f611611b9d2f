#include "orchestrator/search/candidate_table.hpp"

#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "orchestrator/evaluation_tasks.hpp"
#include "orchestrator/stages/task_lists.hpp"

namespace lathe {
namespace {

Setting integer(const std::string& bits, const std::string& solver) {
    return {"integer", {{"num_bits", bits}, {"solver", solver}}};
}

Candidate candidate(const Setting& setting, std::uint64_t bytes, double error) {
    return {0, setting, bytes, error, error};
}

TEST(HomogeneousChoice, TakesTheMostSimilarCandidate) {
    const Setting dense{"dense", {{"dtype", "source"}}};
    const std::vector<std::vector<Candidate>> table{
        {candidate(integer("4", "gptq"), 40, 0.1), candidate(integer("3", "gptq"), 30, 0.3)},
        // a lookup: no gptq
        {candidate(dense, 160, 0.0), candidate(integer("4", "rtn"), 40, 0.2),
         candidate(integer("3", "rtn"), 30, 0.4)},
        // kept dense on purpose
        {candidate(dense, 160, 0.0)},
        // of no unit
        {candidate(dense, 16, 0.0), candidate(integer("8", "rtn"), 8, 0.1)},
    };
    const auto choice = homogeneous_choice(table, integer("3", "gptq"));
    ASSERT_TRUE(choice.has_value());
    EXPECT_EQ(*choice, (std::vector<Setting>{integer("3", "gptq"), integer("3", "rtn"), dense,
                                             integer("8", "rtn")}));
}

TEST(HomogeneousChoice, NoneIfAUnitHasNoCandidateOfTheMethod) {
    const std::vector<Candidate> unit{candidate(integer("4", "gptq"), 40, 0.1),
                                      candidate(integer("3", "gptq"), 30, 0.3)};
    EXPECT_FALSE(homogeneous_choice({unit, unit}, {"bcq", {}}).has_value());
}

TEST(HomogeneousChoice, WhatIsInNoUnitNeedNotHaveTheMethod) {
    const Setting bcq{"bcq", {}};
    const CandidateTable table{
        {candidate(bcq, 40, 0.1), candidate(integer("4", "gptq"), 40, 0.1)},
        {candidate(integer("8", "rtn"), 8, 0.1), candidate(integer("4", "rtn"), 4, 0.2)}};
    EXPECT_THAT(homogeneous_choice(table, bcq),
                ::testing::Optional(std::vector<Setting>{bcq, integer("8", "rtn")}));
}

TEST(DistinctSettings, AreThoseOfUnits) {
    const CandidateTable table{{candidate(integer("4", "gptq"), 40, 0.1)},
                               {candidate(integer("4", "gptq"), 20, 0.1)},
                               {candidate(integer("8", "rtn"), 8, 0.1)}};
    EXPECT_EQ(distinct_settings(table), std::vector<Setting>{integer("4", "gptq")});
}

TEST(EvaluationChunks, CoverAllSamplesInOrder) {
    TokenSequences samples;
    for (std::uint32_t s = 0; s < 35; ++s) {
        samples.append(std::vector<std::uint32_t>(900 + 7 * s, s));
    }
    TokenSequences joined;
    for (const TokenSequences& chunk : evaluation_chunks(samples)) {
        EXPECT_LE(chunk.tokens(), tokens_per_evaluation_task);
        joined.append(chunk);
    }
    EXPECT_EQ(joined.ids, samples.ids);
    EXPECT_EQ(joined.lengths, samples.lengths);
}

TEST(EvaluationChunks, ASampleLongerThanAChunkHasOneForItself) {
    TokenSequences samples;
    for (int s = 0; s < 2; ++s) {
        samples.append(std::vector<std::uint32_t>(2 * tokens_per_evaluation_task));
    }
    EXPECT_EQ(evaluation_chunks(samples).size(), 2U);
}

TEST(EvaluationChunks, AreCutFinerAtBatchesWithTheSameSamplesInEach) {
    TokenSequences samples;
    for (std::size_t i = 0; i < 40; ++i) {
        samples.append(
            std::vector<std::uint32_t>(300 + 37 * (i % 7), static_cast<std::uint32_t>(i)));
    }
    const auto batches_in = [](const std::vector<TokenSequences>& chunks) {
        std::vector<std::vector<std::uint32_t>> batches;
        for (const TokenSequences& chunk : chunks) {
            for (const SequenceRange& range : chunk.ranges(tokens_per_batch)) {
                batches.push_back(chunk.part(range).ids);
            }
        }
        return batches;
    };
    const auto whole = evaluation_chunks(samples);
    for (const std::size_t wanted : {1, 2, 3, 5, 64}) {
        const auto chunks = evaluation_chunks(samples, wanted);
        EXPECT_GE(chunks.size(), std::min(wanted, batches_in(whole).size()));
        EXPECT_EQ(batches_in(chunks), batches_in(whole)) << wanted;
    }
    EXPECT_GE(evaluation_chunks(samples, 64).size(), 9U) << "16 thousand tokens, 2048 a batch";
}

TEST(TaskLists, VariantsGoToAllRanksInEachRound) {
    EXPECT_EQ(variants_per_task(100, 1, 1), most_variants_per_task);
    EXPECT_EQ(variants_per_task(17, 1, 64), 1U);
    EXPECT_EQ(variants_per_task(17, 1, 8), 3U);
    EXPECT_EQ(variants_per_task(64, 1, 8), 8U);
    EXPECT_EQ(variants_per_task(65, 1, 8), 5U) << "two rounds";
    EXPECT_EQ(variants_per_task(770, 1, 64), 7U);
    EXPECT_EQ(variants_per_task(0, 1, 8), most_variants_per_task);
    EXPECT_EQ(chunks_wanted(2, 64), 32U);
    EXPECT_EQ(chunks_wanted(11, 8), 1U);
}

TEST(TaskLists, APipelineContinuesWhereItWasStopped) {
    const auto links = pipeline_links(3, 6, 2);
    ASSERT_EQ(links.size(), 3U);
    EXPECT_EQ(links[0].block, 3U);
    EXPECT_EQ(links[0].rank, 0);
    EXPECT_EQ(links[0].from, -1);
    EXPECT_EQ(links[0].to, 1);
    EXPECT_EQ(links[2].rank, 0);
    EXPECT_EQ(links[2].from, 1);
    EXPECT_EQ(links[2].to, -1);
}

}  // namespace
}  // namespace lathe
