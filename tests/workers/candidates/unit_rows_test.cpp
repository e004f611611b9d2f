#include "workers/candidates/unit_rows.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

/// A unit of tensors with the given rows.
ModelSpec spec_of(const std::vector<std::size_t>& rows, std::size_t cols = 256) {
    ModelSpec spec;
    UnitSpec& unit = spec.units.emplace_back();
    for (const std::size_t n : rows) {
        unit.tensors.push_back(spec.tensors.size());
        spec.tensors.emplace_back().shape = {n, cols};
    }
    return spec;
}

std::vector<Setting> settings_of(
    const char* method, const std::vector<std::pair<const char*, std::vector<std::string>>>& keys) {
    CandidateEntry entry;
    entry.method = method;
    for (const auto& [name, values] : keys) {
        entry.keys.push_back({name, values, {}});
    }
    return find_method(method, "").expand(entry);
}

std::vector<std::size_t> counts(const std::vector<std::size_t>& rows, const char* method,
                                std::size_t most_rows = std::numeric_limits<std::size_t>::max(),
                                Signal input = Signal::mlp_in, std::size_t cols = 256,
                                const char* solver = "gptq") {
    ModelSpec spec = spec_of(rows, cols);
    spec.units[0].input = input;
    const bool has_solver = std::string_view(method) != "low_rank";
    const std::vector<Setting> settings =
        has_solver ? settings_of(method, {{"solver", {solver}}}) : settings_of(method, {});
    std::vector<std::size_t> counts;
    std::size_t next = 0;
    for (const UnitRows& piece : pieces_of(spec, spec.units[0], settings, most_rows)) {
        EXPECT_EQ(piece.first, next);
        next += piece.count;
        counts.push_back(piece.count);
    }
    EXPECT_EQ(next, row_count(spec, spec.units[0]));
    return counts;
}

TEST(UnitRows, AreCutAtMultiplesOf4096) {
    using ::testing::ElementsAre;
    EXPECT_THAT(counts({8191}, "integer"), ElementsAre(8191));
    EXPECT_THAT(counts({8192}, "integer"), ElementsAre(4096, 4096));
    EXPECT_THAT(counts({9000}, "bcq"), ElementsAre(4096, 4904));
    EXPECT_THAT(counts({5120, 5120}, "integer"), ElementsAre(4096, 6144));
}

TEST(UnitRows, OfManyColumnsAreCutIfWhatTheyMakeOfTheGramMatrixIsShared) {
    using ::testing::ElementsAre;
    constexpr auto all = std::numeric_limits<std::size_t>::max();
    EXPECT_THAT(counts({16384}, "integer", all, Signal::mlp_in, 8192, "admm"), ElementsAre(16384));
    EXPECT_THAT(counts({16384}, "integer", all, Signal::mlp_in, 8192, "gptq"),
                ElementsAre(4096, 4096, 4096, 4096));
    EXPECT_THAT(counts({16384}, "integer", all, Signal::mlp_in, 65536, "gptq"),
                ElementsAre(8192, 8192));
}

TEST(SharedFactors, AreThoseOfAllSettingsOnce) {
    auto settings =
        settings_of("integer", {{"solver", {"rtn", "gptq", "admm"}}, {"actorder", {"true"}}});
    for (const Setting& setting :
         settings_of("bcq", {{"solver", {"gptq"}}, {"dampening_frac", {"0.05"}}})) {
        settings.push_back(setting);
    }
    const auto shared = shared_factors(settings);
    ASSERT_TRUE(shared.has_value());
    EXPECT_TRUE(shared->inverses);
    ASSERT_EQ(shared->feedbacks.size(), 2U);
    EXPECT_EQ(to_string(shared->feedbacks[0]), "0.01_by_power");
    EXPECT_EQ(to_string(shared->feedbacks[1]), "0.05");
    EXPECT_EQ(error_feedback_from_string("0.01_by_power"), shared->feedbacks[0]);
    for (const char* text : {"", "fast", "0.01x", "0.010", "0.01_by_power_by_power"}) {
        EXPECT_THROW((void)error_feedback_from_string(text), InternalError) << text;
    }
}

TEST(UnitRows, AreCutFinerWhereMemoryIsShort) {
    using ::testing::ElementsAre;
    EXPECT_THAT(counts({1000}, "integer", 1000), ElementsAre(1000));
    EXPECT_THAT(counts({1000}, "integer", 999), ElementsAre(512, 488));
    EXPECT_THAT(counts({1000}, "integer", 1), ElementsAre(256, 256, 256, 232));
    EXPECT_THAT(counts({9000}, "integer", 5000), ElementsAre(4096, 4904));
    EXPECT_THAT(counts({9000}, "integer", 4800), ElementsAre(4608, 4392));
    // A table's errors are summed over 4096 rows.
    EXPECT_THAT(counts({9000}, "integer", 4800, Signal::token_ids), ElementsAre(4096, 4096, 808));
    EXPECT_THAT(counts({1000}, "low_rank", 256), ElementsAre(1000));
}

TEST(UnitRows, StayTogetherWhereOneTaskMustSeeThem) {
    using ::testing::ElementsAre;
    EXPECT_THAT(counts({16384}, "low_rank"), ElementsAre(16384));
    // The second tensor does not begin with a tile.
    EXPECT_THAT(counts({5000, 5000}, "integer"), ElementsAre(10000));
}

TEST(UnitRows, OfAPieceBelongToTensors) {
    const ModelSpec spec = spec_of({5120, 5120});
    const auto parts = tensors_of(spec, spec.units[0], {4096, 4096});
    ASSERT_EQ(parts.size(), 2U);
    EXPECT_EQ(parts[0].place, 0U);
    EXPECT_EQ(parts[0].first, 4096U);
    EXPECT_EQ(parts[0].count, 1024U);
    EXPECT_EQ(parts[1].place, 1U);
    EXPECT_EQ(parts[1].first, 0U);
    EXPECT_EQ(parts[1].count, 3072U);
}

TEST(LookupErrors, AreSummedInBlocksOfRows) {
    // One column; row r is off by 1 and counts r.
    const std::size_t rows = lookup_block_rows + 2;
    const std::vector<float> zeros(rows);
    const std::vector<float> ones(rows, 1.0F);
    std::vector<float> weights(rows);
    for (std::size_t r = 0; r < rows; ++r) {
        weights[r] = static_cast<float>(r);
    }
    const auto blocks = lookup_errors({zeros.data(), rows, 1}, {ones.data(), rows, 1}, weights);
    EXPECT_THAT(blocks, ::testing::ElementsAre(4096.0 * 4095 / 2, 4096 + 4097));
    EXPECT_THAT(sum_of_blocks(blocks, 1), ::testing::ElementsAre(4096.0 * 4095 / 2 + 4096 + 4097));
}

}  // namespace
}  // namespace lathe
