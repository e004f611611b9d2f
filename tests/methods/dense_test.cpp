#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/methods/method_fixture.hpp"

namespace lathe {
namespace {

using ::testing::HasSubstr;

UnitSolution solve(const Setting& s, const std::vector<UnitTensor>& tensors,
                   const UnitStatistics& statistics) {
    const SomeBackend backend(2);
    return find_method("dense", "").solve({&s, 1}, tensors, statistics, backend.get()).at(0);
}

TEST(DenseMethod, KeepsTheSourceWithoutError) {
    const LinearUnit unit(7, {3, 1});
    for (const DType dtype : {DType::f32, DType::f64}) {
        const UnitSolution solution =
            solve(setting("dense", {}), unit.tensors(dtype), unit.statistics());
        EXPECT_EQ(solution.error, 0.0);
        EXPECT_EQ(unit.direct_error(solution), 0.0);
        EXPECT_EQ(solution.tensors.size(), 2U);
        EXPECT_EQ(stored_bytes(solution.tensors[0]), 3U * 7 * 4);
        EXPECT_EQ(find_method("dense", "").bytes(setting("dense", {}), {3, 7}, dtype), 3U * 7 * 4);
    }
}

TEST(DenseMethod, MeasuresTheErrorOfRounding) {
    const LinearUnit unit(40, {5, 9});
    for (const std::string dtype : {"float16", "bfloat16"}) {
        const Setting s = setting("dense", {{"dtype", {dtype}}});
        const UnitSolution solution = solve(s, unit.tensors(), unit.statistics());
        EXPECT_GT(solution.error, 0.0);
        EXPECT_NEAR(solution.error, unit.direct_error(solution), 1e-4 * solution.error);
        EXPECT_EQ(stored_bytes(solution.tensors[1]), 9U * 40 * 2);
        EXPECT_EQ(find_method("dense", "").bytes(s, {9, 40}, DType::f32), 9U * 40 * 2);
    }
}

TEST(DenseMethod, KeepsWeightsBeyondTheRangeFinite) {
    const std::vector<float> w = {1e6F, -1e6F, 1.0F};
    const std::vector<float> gram = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    const UnitSolution solution =
        solve(setting("dense", {{"dtype", {"float16"}}}), {{{w.data(), 1, 3}, {1, 3}, DType::f32}},
              {{gram.data(), 3, 3}, {}});
    std::vector<float> values(3);
    decode(solution.tensors[0], {values.data(), 1, 3});
    EXPECT_THAT(values, ::testing::ElementsAre(65504.0F, -65504.0F, 1.0F));
    EXPECT_NEAR(solution.error, 2 * std::pow(1e6 - 65504, 2), 1e-4 * 2e12);
}

TEST(DenseMethod, RefusesSixteenBitsForASourceThatHasThem) {
    const MethodRow& dense = find_method("dense", "");
    const Setting half = setting("dense", {{"dtype", {"float16"}}});
    EXPECT_EQ(dense.refuses(half, {}, {2, 2}, DType::f32), "");
    EXPECT_EQ(dense.refuses(setting("dense", {}), {}, {2, 2}, DType::bf16), "");
    for (const DType dtype : {DType::f16, DType::bf16}) {
        EXPECT_THAT(dense.refuses(half, {}, {2, 2}, dtype), HasSubstr(std::string(name(dtype))));
    }
}

}  // namespace
}  // namespace lathe
