#include "orchestrator/search/time_limit.hpp"

#include <optional>
#include <vector>

#include <gtest/gtest.h>

#include "lib/core/random.hpp"
#include "tests/orchestrator/all_choices.hpp"

namespace lathe {
namespace {

using test::bytes_of;
using test::Choice;
using test::score_of;
using test::Units;

/// Units whose options trade bytes, seconds and score against each other at random.
Units random_units(std::uint64_t seed, std::size_t n_units, std::size_t n_options) {
    Units units(n_units);
    std::uint64_t draw = 0;
    for (auto& options : units) {
        for (std::size_t i = 0; i < n_options; ++i) {
            const auto bytes = static_cast<std::uint64_t>(10 + 50 * random_unit(seed, draw++));
            const double seconds = 0.1 + random_unit(seed, draw++);
            const double score =
                random_unit(seed, draw++) * 200.0 / (static_cast<double>(bytes) * seconds);
            options.push_back({bytes, score, seconds});
        }
    }
    return units;
}

/// The least score of all choices within the limits; none if there is none.
std::optional<double> brute_force(const Units& units, const SearchLimits& limits) {
    const auto best = test::best_of_all(units, [&](const Choice& choice) {
        return bytes_of(units, choice) <= limits.bytes &&
               seconds_of(units, choice) <= limits.seconds;
    });
    return best ? std::optional(score_of(units, *best)) : std::nullopt;
}

std::optional<Choice> knapsack(const Units& units, std::uint64_t limit) {
    return solve_knapsack(units, limit);
}

TEST(TimeLimit, KeepsBothLimitsAndComesNearTheOptimum) {
    double excess = 0.0;
    std::size_t n = 0;
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
        const Units units = random_units(seed, 6, 5);
        const std::uint64_t bytes = 190;
        const auto fastest = solve_fastest(units, bytes);
        const auto unlimited = solve_knapsack(units, bytes);
        ASSERT_TRUE(fastest && unlimited);
        const double least = seconds_of(units, *fastest);
        const SearchLimits limits{bytes, least + 0.4 * (seconds_of(units, *unlimited) - least)};
        const auto found = solve_within(units, limits, knapsack);
        ASSERT_TRUE(found) << seed;
        EXPECT_LE(bytes_of(units, *found), limits.bytes);
        EXPECT_LE(seconds_of(units, *found), limits.seconds);
        const double optimum = brute_force(units, limits).value();
        EXPECT_GE(score_of(units, *found), optimum * (1.0 - 1e-12));
        excess += score_of(units, *found) / optimum - 1.0;
        ++n;
    }
    // Six units leave the relaxation a gap; hundreds, as models have, hardly any.
    EXPECT_LT(excess / static_cast<double>(n), 0.10);
}

TEST(TimeLimit, ThatDoesNotBindLeavesTheOptimum) {
    const Units units = random_units(5, 8, 4);
    EXPECT_EQ(solve_within(units, {220}, knapsack), solve_knapsack(units, 220));
}

TEST(TimeLimit, FindsTheOneFastChoiceAndRefusesLess) {
    // The slow option is so much better that only a high price moves it.
    const Units units{{{10, 0.0, 1.0}, {10, 1e9, 0.25}}, {{10, 0.0, 1.0}, {10, 1e-9, 0.5}}};
    EXPECT_EQ(solve_within(units, {20, 1.5}, knapsack), (Choice{0, 1}));
    EXPECT_EQ(solve_within(units, {20, 0.75}, knapsack), (Choice{1, 1}));
    EXPECT_EQ(solve_within(units, {20, 0.74}, knapsack), std::nullopt);
    EXPECT_EQ(solve_within(units, {19, 9.0}, knapsack), std::nullopt);
}

TEST(TimeLimit, TheGreedySolverIsHeldToItToo) {
    const Units units = random_units(11, 40, 6);
    const auto fastest = solve_fastest(units, 1400);
    ASSERT_TRUE(fastest);
    const SearchLimits limits{1400, 1.3 * seconds_of(units, *fastest)};
    const auto found = solve_within(units, limits, solve_greedy);
    ASSERT_TRUE(found);
    EXPECT_LE(seconds_of(units, *found), limits.seconds);
    EXPECT_LE(bytes_of(units, *found), limits.bytes);
    const auto exact = solve_within(units, limits, knapsack);
    EXPECT_LE(score_of(units, *exact), 1.02 * score_of(units, *found));
}

}  // namespace
}  // namespace lathe
