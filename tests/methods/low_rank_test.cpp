#include <cmath>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
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
    std::ranges::fill(plain.gram, 0.0F);
    for (std::size_t i = 0; i < plain.d; ++i) {
        plain.gram[i * plain.d + i] = 1.0F;
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

TEST_P(LowRankMethod, HasTheSmallestRankWithinTheError) {
    const auto tail = [&](std::uint64_t rank) {
        return unit.direct_error(
            solve(setting("low_rank", {{"rank", {std::to_string(rank)}}}), unit));
    };
    UnitSolution zeros = solve(setting("low_rank", {{"rank", {"1"}}}), unit);
    for (EncodedTensor& factor : zeros.tensors[0].pieces) {
        std::ranges::fill(factor.parts[0].bytes, std::byte{0});
    }
    const double energy = unit.direct_error(zeros);
    std::uint64_t before = unit.d;
    for (const double error : {0.001, 0.01, 0.05}) {
        const Setting s = setting("low_rank", {{"error", {text(error)}}});
        EXPECT_TRUE(is_open(s));
        const UnitSolution solution = solve(s, unit);
        ASSERT_TRUE(solution.settled);
        EXPECT_FALSE(is_open(*solution.settled));
        const std::uint64_t rank = std::stoull(solution.settled->values.at("rank"));
        EXPECT_LE(tail(rank), error * energy * (1 + 1e-5));
        EXPECT_GT(tail(rank - 1), error * energy);
        EXPECT_LT(rank, before);
        before = rank;
        const Shape shape{GetParam(), unit.d};
        const auto bytes = find_method("low_rank", "").bytes;
        EXPECT_EQ(stored_bytes(solution.tensors[0]), bytes(*solution.settled, shape, DType::f32));
        EXPECT_LT(bytes(s, shape, DType::f32), stored_bytes(solution.tensors[0]));
        EXPECT_EQ(to_string(*solution.settled),
                  "low_rank error=" + s.values.at("error") +
                      " group_size=64 num_bits=16 rank=" + std::to_string(rank));
        EXPECT_EQ(solve(*solution.settled, unit).error, solution.error);
    }
}

INSTANTIATE_TEST_SUITE_P(Outputs, LowRankMethod, ::testing::Values(16, 24, 60));

TEST(LowRankByError, IsOfAllTensorsOfAUnitTogether) {
    // As of q and of a narrow k: k has all of its components where the rank is above its rows.
    const LinearUnit unit(24, {40, 4});
    const UnitSolution solution = solve(setting("low_rank", {{"error", {"0.02"}}}), unit);
    const Setting known = solution.settled.value();
    const std::uint64_t rank = std::stoull(known.values.at("rank"));
    ASSERT_GT(rank, 4U);
    EXPECT_EQ(solution.tensors[0].pieces[0].shape[1], rank);
    EXPECT_EQ(solution.tensors[1].pieces[0].shape[1], 4U);
    EXPECT_EQ(stored_bytes(solution.tensors[1]),
              find_method("low_rank", "").bytes(known, {4, 24}, DType::f32));
    EXPECT_NEAR(unit.direct_error(solution), solution.error, 1e-3 * solution.error);
}

TEST(LowRankByError, IsRefusedBesideARank) {
    for (const char* other : {"rank", "rank_fraction"}) {
        const CandidateEntry e = entry("low_rank", {{other, {"0.5"}}, {"error", {"0.1"}}});
        EXPECT_THAT([&] { (void)expand_candidates({e}); },
                    ThrowsMessage<UsageError>(
                        ::testing::AllOf(HasSubstr("job.yaml:8:9"), HasSubstr("give one"))));
    }
    EXPECT_THAT(
        [&] {
            (void)setting("low_rank", {{"error", {"0"}}});
        },
        ThrowsMessage<UsageError>(HasSubstr("a number above 0 and below 1")));
}

TEST(LowRankOfADeadInput, IsFinite) {
    // An input that is always zero, and inputs that are one: G is singular, as is W^T W.
    LinearUnit unit(8, {20});
    for (std::size_t j = 0; j < 8; ++j) {
        unit.gram[3 * 8 + j] = unit.gram[j * 8 + 3] = 0.0F;
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
