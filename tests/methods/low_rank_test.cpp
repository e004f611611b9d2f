#include <cmath>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "methods/low_rank_factors.hpp"
#include "tests/methods/method_fixture.hpp"

namespace lathe {
namespace {

using ::testing::HasSubstr;

UnitSolution solve(const Setting& s, const LinearUnit& unit) {
    const SomeBackend backend(2);
    return find_method("low_rank", "")
        .solve({&s, 1}, unit.tensors(), unit.statistics(), backend.get())
        .at(0);
}

std::string text(double number) {
    return std::to_string(number);
}

/// Layers with more outputs than inputs, and with fewer.
class LowRankMethod : public ::testing::TestWithParam<std::size_t> {
protected:
    LinearUnit unit{24, {GetParam()}};
};

TEST_P(LowRankMethod, LeavesTheTailOfTheSingularValues) {
    // The squared singular values of W L, G = L L^T, are the eigenvalues of W G W^T: their sum is
    // the energy of the outputs, and the error of rank r is the sum of all but the first r (Eckart
    // and Young). fp16 adds about 1e-7 of the energy.
    const SomeBackend backend(2);
    const UnitTensor tensor = unit.tensors().front();
    const Components components =
        output_components(tensor.weight, unit.statistics().gram, backend.get());
    const double energy = std::accumulate(components.energy.begin(), components.energy.end(), 0.0);
    for (const std::size_t rank : {1, 3, 8, 15}) {
        const double tail =
            std::accumulate(components.energy.begin() + static_cast<std::ptrdiff_t>(rank),
                            components.energy.end(), 0.0);
        const UnitSolution solution =
            solve(setting("low_rank", {{"rank", {std::to_string(rank)}}}), unit);
        EXPECT_NEAR(unit.direct_error(solution), tail, 1e-5 * energy) << rank;
        EXPECT_NEAR(solution.error, tail, 1e-4 * tail + 1e-5 * energy) << rank;
    }
}

TEST_P(LowRankMethod, EnergiesAddUpToThatOfTheOutputs) {
    const SomeBackend backend(2);
    const UnitTensor tensor = unit.tensors().front();
    const Components components =
        output_components(tensor.weight, unit.statistics().gram, backend.get());
    UnitSolution zeros;
    const std::vector<float> none(GetParam() * unit.d);
    double direct = 0.0;  // tr(W G W^T), from the definition
    for (std::size_t r = 0; r < GetParam(); ++r) {
        for (std::size_t i = 0; i < unit.d; ++i) {
            for (std::size_t j = 0; j < unit.d; ++j) {
                direct += double{tensor.weight(r, i)} * unit.gram[i * unit.d + j] *
                          double{tensor.weight(r, j)};
            }
        }
    }
    EXPECT_NEAR(std::accumulate(components.energy.begin(), components.energy.end(), 0.0), direct,
                1e-9 * direct);
    for (std::size_t k = 0; k + 1 < components.energy.size(); ++k) {
        EXPECT_GE(components.energy[k], components.energy[k + 1]);
    }
}

TEST_P(LowRankMethod, BeatsTheSameRankInThePlainMetric) {
    // With a Gram matrix of ones on the diagonal it is plain SVD.
    LinearUnit plain = unit;
    std::ranges::fill(plain.gram, 0.0);
    for (std::size_t i = 0; i < plain.d; ++i) {
        plain.gram[i * plain.d + i] = 1.0;
    }
    const Setting s = setting("low_rank", {{"rank", {"6"}}});
    EXPECT_LT(unit.direct_error(solve(s, unit)), unit.direct_error(solve(s, plain)));
}

TEST_P(LowRankMethod, HasTheBytesItSays) {
    for (const char* num_bits : {"16", "8", "3"}) {
        for (const double share : {0.1, 0.5}) {
            const Setting s = setting("low_rank", {{"rank_fraction", {text(share)}},
                                                   {"num_bits", {num_bits}},
                                                   {"group_size", {"16"}}});
            const UnitSolution solution = solve(s, unit);
            const Shape shape{GetParam(), unit.d};
            EXPECT_EQ(stored_bytes(solution.tensors[0]),
                      find_method("low_rank", "").bytes(s, shape, DType::f32));
            validate(solution.tensors[0], "test");
            const auto smaller = static_cast<double>(std::min(GetParam(), unit.d));
            EXPECT_EQ(solution.tensors[0].pieces[0].shape[1],
                      static_cast<std::size_t>(std::lround(share * smaller)));
            EXPECT_NEAR(solution.error, unit.direct_error(solution), 1e-3 * solution.error);
        }
    }
}

TEST_P(LowRankMethod, FactorsOfMoreBitsAreBetter) {
    double before = 1e30;
    for (const char* num_bits : {"2", "4", "8", "16"}) {
        const double error = unit.direct_error(
            solve(setting("low_rank", {{"rank", {"12"}}, {"num_bits", {num_bits}}}), unit));
        EXPECT_LT(error, before) << num_bits;
        before = error;
    }
}

INSTANTIATE_TEST_SUITE_P(Outputs, LowRankMethod, ::testing::Values(16, 24, 60));

TEST(LowRankOfADeadInput, IsFinite) {
    // An input that is always zero, and inputs that are one: G is singular, as is W^T W.
    LinearUnit unit(8, {20});
    for (std::size_t j = 0; j < 8; ++j) {
        unit.gram[3 * 8 + j] = unit.gram[j * 8 + 3] = 0.0;
    }
    for (std::size_t r = 0; r < 20; ++r) {
        unit.weights[0][r * 8 + 5] = 0.0F;
    }
    const UnitSolution solution = solve(setting("low_rank", {{"rank", {"8"}}}), unit);
    EXPECT_LT(unit.direct_error(solution), 1e-4);
    EXPECT_TRUE(std::isfinite(solution.error));
}

TEST(LowRankMethodRefuses, WhatCannotBe) {
    const MethodRow& method = find_method("low_rank", "");
    const Setting s = setting("low_rank", {{"rank", {"9"}}});
    const UnitSpec unit{.name = "u", .block = 0, .tensors = {0}, .input = Signal::mlp_in};
    EXPECT_EQ(method.refuses(s, unit, {9, 20}, DType::f16), "");
    EXPECT_THAT(method.refuses(s, unit, {8, 20}, DType::f16), HasSubstr("rank 9"));
    EXPECT_THAT(method.refuses(s, unit, {20, 8}, DType::f16), HasSubstr("rank 9"));
    const UnitSpec table{.name = "t", .block = {}, .tensors = {0}, .input = Signal::token_ids};
    EXPECT_THAT(method.refuses(s, table, {90, 20}, DType::f16), HasSubstr("Gram matrix"));
}

}  // namespace
}  // namespace lathe
