#include "orchestrator/search/candidate_table.hpp"

#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "orchestrator/evaluation_tasks.hpp"

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

}  // namespace
}  // namespace lathe
