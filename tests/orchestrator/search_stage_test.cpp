#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "orchestrator/stages.hpp"

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
    };
    const auto choice = homogeneous_choice(table, integer("3", "gptq"));
    ASSERT_TRUE(choice.has_value());
    EXPECT_EQ(*choice, (std::vector<Setting>{integer("3", "gptq"), integer("3", "rtn"), dense}));
}

TEST(HomogeneousChoice, NoneIfAUnitHasNoCandidateOfTheMethod) {
    const std::vector<std::vector<Candidate>> table{
        {candidate(integer("4", "gptq"), 40, 0.1), candidate(integer("3", "gptq"), 30, 0.3)}};
    EXPECT_FALSE(homogeneous_choice(table, {"bcq", {}}).has_value());
}

TEST(EvaluationChunks, CoverAllWindowsInOrder) {
    TokenWindows windows{1000, {}};
    windows.ids.resize(35 * windows.length);
    std::iota(windows.ids.begin(), windows.ids.end(), 0U);
    std::vector<std::uint32_t> joined;
    for (const TokenWindows& chunk : evaluation_chunks(windows)) {
        EXPECT_EQ(chunk.length, windows.length);
        EXPECT_LE(chunk.ids.size(), tokens_per_evaluation_task);
        joined.insert(joined.end(), chunk.ids.begin(), chunk.ids.end());
    }
    EXPECT_EQ(joined, windows.ids);
}

TEST(EvaluationChunks, AWindowLongerThanAChunkHasOneForItself) {
    const TokenWindows windows{2 * tokens_per_evaluation_task,
                               std::vector<std::uint32_t>(4 * tokens_per_evaluation_task)};
    EXPECT_EQ(evaluation_chunks(windows).size(), 2U);
}

}  // namespace
}  // namespace lathe
