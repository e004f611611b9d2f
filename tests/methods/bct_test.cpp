#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/encoding/block_shift.hpp"
#include "tests/methods/method_fixture.hpp"

namespace lathe {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::vector<UnitSolution> solve(const std::vector<Setting>& settings, const LinearUnit& unit) {
    const SomeBackend backend(2);
    return find_method("bct", "").solve(settings, unit.tensors(), unit.statistics(), backend.get());
}

TEST(BctMethod, StoresWhatItPredictsAndReports) {
    const MethodRow& bct = find_method("bct", "");
    for (const std::size_t d : {1, 31, 131}) {
        const LinearUnit unit(d, {20, 5});
        const auto settings = bct.expand(entry("bct", {{"num_bits", {"2", "4", "8"}},
                                                       {"block_size", {"16", "64"}},
                                                       {"scale", {"shift8", "shift6", "float16"}},
                                                       {"choose_scale", {"true", "false"}},
                                                       {"solver", {"admm", "gptq", "rtn"}}}));
        ASSERT_EQ(settings.size(), 72U);  // choose_scale makes a difference to rtn alone
        const auto solutions = solve(settings, unit);
        for (std::size_t i = 0; i < settings.size(); ++i) {
            SCOPED_TRACE(to_string(settings[i]) + ", d = " + std::to_string(d));
            const double direct = unit.direct_error(solutions[i]);
            EXPECT_NEAR(solutions[i].error, direct, 2e-3 * direct);
            for (const EncodedTensor& tensor : solutions[i].tensors) {
                EXPECT_EQ(tensor.encoding, "block_shift");
                EXPECT_NO_THROW(validate(tensor, "solution"));
                EXPECT_EQ(stored_bytes(tensor), bct.bytes(settings[i], tensor.shape, DType::f32));
            }
        }
    }
}

/// Rounding by the paper's rule is round_to_blocks(): the two were written apart.
TEST(BctMethod, RoundsByThePapersRule) {
    const LinearUnit unit(131, {20});
    for (const std::string scale : {"shift8", "shift6"}) {
        const auto solutions = solve({setting("bct", {{"num_bits", {"4"}},
                                                      {"block_size", {"32"}},
                                                      {"scale", {scale}},
                                                      {"choose_scale", {"false"}},
                                                      {"solver", {"rtn"}}})},
                                     unit);
        const EncodedTensor direct = round_to_blocks(
            {20, 131}, {4, 32, scale == "shift8" ? 8U : 6U}, {unit.weights[0].data(), 20, 131});
        EXPECT_EQ(content_hash(solutions[0].tensors[0]), content_hash(direct));
    }
}

TEST(BctMethod, EachStepPays) {
    const LinearUnit unit(256, {64});
    const auto with = [](const char* solver, const char* choose) {
        return setting("bct",
                       {{"num_bits", {"3"}}, {"choose_scale", {choose}}, {"solver", {solver}}});
    };
    const auto solutions = solve(
        {with("rtn", "false"), with("rtn", "true"), with("gptq", "true"), with("admm", "true")},
        unit);
    for (std::size_t i = 1; i < solutions.size(); ++i) {
        EXPECT_LT(solutions[i].error, 0.95 * solutions[i - 1].error) << i;
    }
}

TEST(BctMethod, RefusesWhatCannotStand) {
    const auto refused = [](const char* key, const char* value, const char* why) {
        EXPECT_THAT(
            [&] {
                find_method("bct", "").expand(entry("bct", {{key, {value}}}));
            },
            ThrowsMessage<UsageError>(HasSubstr(why)))
            << key;
    };
    refused("num_bits", "9", "from 2 to 8");
    refused("block_size", "8", "from 16 to 1024");
    refused("scale", "shift7", "shift8, shift6 or float16");
    refused("solver", "magic", "admm, gptq or rtn");
}

}  // namespace
}  // namespace lathe
