#include "orchestrator/search/evolution.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/core/errors.hpp"
#include "lib/core/random.hpp"
#include "orchestrator/search/scores.hpp"

namespace lathe {
namespace {

using ::testing::Each;
using ::testing::Le;
using ::testing::SizeIs;

/// A sum of scores and of products of neighbours': what no additive score can predict.
class PairedScores final : public Fitness {
public:
    explicit PairedScores(const GenePool& pool) : pool_(pool) {}

    std::vector<double> screen(std::span<const Genome> genomes, std::size_t generation) override {
        screened.insert(screened.end(), genomes.begin() + 1, genomes.end());
        generations.push_back(generation);
        return score(genomes);
    }
    std::vector<double> measure(std::span<const Genome> genomes) override {
        measured.insert(measured.end(), genomes.begin(), genomes.end());
        return score(genomes);
    }
    [[nodiscard]] double of(const Genome& genome) const {
        double sum = 0.0;
        double before = 0.0;
        for (std::size_t g = 0; g < genome.size(); ++g) {
            const double own = pool_.genes[g][genome[g]].score;
            sum += own + 3.0 * own * before;
            before = own;
        }
        return sum;
    }

    std::vector<Genome> screened;
    std::vector<Genome> measured;
    std::vector<std::size_t> generations;

private:
    [[nodiscard]] std::vector<double> score(std::span<const Genome> genomes) const {
        std::vector<double> scores;
        std::ranges::transform(genomes, std::back_inserter(scores),
                               [this](const Genome& genome) { return of(genome); });
        return scores;
    }
    const GenePool& pool_;
};

/// Eight genes of two sizes with four levels each; the limit lets about half of the bytes through.
GenePool small_pool() {
    GenePool pool;
    for (std::size_t g = 0; g < 8; ++g) {
        std::vector<Option> options;
        for (std::uint64_t level = 0; level < 4; ++level) {
            const double size = 0.5 + random_unit(7, g);
            options.push_back({(10 + 10 * level) * (1 + g % 2), size * std::pow(0.4, level)});
        }
        pool.genes.push_back(options);
    }
    pool.limits.bytes = 280;
    return pool;
}

Genome additive_optimum(const GenePool& pool) {
    return solve_knapsack(pool.genes, pool.limits.bytes).value();
}

/// The best of all 4^8 genomes.
double brute_force(const GenePool& pool, const PairedScores& fitness) {
    double best = 1e300;
    for (std::size_t code = 0; code < 65536; ++code) {
        Genome genome(8);
        for (std::size_t g = 0; g < 8; ++g) {
            genome[g] = code >> (2 * g) & 3;
        }
        if (pool.bytes(genome) <= pool.limits.bytes) {
            best = std::min(best, fitness.of(genome));
        }
    }
    return best;
}

TEST(Evolution, FindsWhatTheAdditiveScoreMisses) {
    const GenePool pool = small_pool();
    PairedScores fitness(pool);
    const Genome start = additive_optimum(pool);
    const double optimum = brute_force(pool, fitness);
    ASSERT_GT(fitness.of(start), 1.02 * optimum);
    const Genome found = evolve(pool, {.seed = 1, .generations = 40, .patience = 40}, start,
                                fitness.of(start), fitness);
    // Not the optimum for every seed, but most of the way to it.
    EXPECT_LT(fitness.of(found) - optimum, 0.2 * (fitness.of(start) - optimum));
    EXPECT_LE(pool.bytes(found), pool.limits.bytes);
}

TEST(Evolution, TriesNothingTwiceAndNothingBeyondTheLimit) {
    const GenePool pool = small_pool();
    PairedScores fitness(pool);
    const Genome start = additive_optimum(pool);
    std::vector<Generation> generations;
    (void)evolve(pool, {.seed = 3, .generations = 10, .patience = 10}, start, fitness.of(start),
                 fitness, [&](const Generation& generation) { generations.push_back(generation); });
    std::set<Genome> distinct(fitness.screened.begin(), fitness.screened.end());
    EXPECT_EQ(distinct.size(), fitness.screened.size());
    EXPECT_FALSE(distinct.contains(start));
    for (const Genome& genome : fitness.screened) {
        EXPECT_LE(pool.bytes(genome), pool.limits.bytes);
    }
    ASSERT_THAT(generations, SizeIs(10));
    double before = fitness.of(start);
    for (const Generation& generation : generations) {
        EXPECT_THAT(generation.measured, SizeIs(Le(2U)));
        EXPECT_EQ(generation.improved, generation.best < before);
        before = generation.best;
    }
}

TEST(Evolution, KeepsALimitOfSecondsToo) {
    GenePool pool = small_pool();
    for (std::vector<Option>& levels : pool.genes) {
        // A larger level is better and slower; beside each of them one that is faster and worse.
        for (std::size_t l = 0; l < 4; ++l) {
            levels[l].seconds = 1.0 + static_cast<double>(l);
            levels.push_back({levels[l].bytes, 1.5 * levels[l].score, 0.5 * levels[l].seconds});
        }
        std::ranges::sort(levels, {}, [](const Option& option) {
            return std::pair(option.bytes, -option.score);
        });
    }
    const auto knapsack = [](const auto& units, std::uint64_t bytes) {
        return solve_knapsack(units, bytes);
    };
    pool.limits.seconds = 12.0;
    const auto start = solve_within(pool.genes, pool.limits, knapsack);
    ASSERT_TRUE(start);
    ASSERT_GT(seconds_of(pool.genes, *solve_knapsack(pool.genes, pool.limits.bytes)), 12.0);
    PairedScores fitness(pool);
    const Genome found = evolve(pool, {.seed = 5, .generations = 30, .patience = 30}, *start,
                                fitness.of(*start), fitness);
    ASSERT_GT(fitness.screened.size(), 100U);
    for (const Genome& genome : fitness.screened) {
        EXPECT_LE(pool.bytes(genome), pool.limits.bytes);
        EXPECT_LE(pool.seconds(genome), 12.0 + 1e-9);
    }
    EXPECT_LT(fitness.of(found), fitness.of(*start));
}

TEST(Evolution, SpendsTheBudget) {
    const GenePool pool = small_pool();
    PairedScores fitness(pool);
    const Genome start = additive_optimum(pool);
    (void)evolve(pool, {.seed = 5, .generations = 5}, start, fitness.of(start), fitness);
    for (const Genome& genome : fitness.screened) {
        for (std::size_t g = 0; g < genome.size(); ++g) {
            if (genome[g] + 1 < pool.genes[g].size()) {
                Genome more = genome;
                ++more[g];
                EXPECT_GT(pool.bytes(more), pool.limits.bytes);
            }
        }
    }
}

TEST(Evolution, IsAFunctionOfItsSeed) {
    const GenePool pool = small_pool();
    const Genome start = additive_optimum(pool);
    const auto screened = [&](std::uint64_t seed) {
        PairedScores fitness(pool);
        (void)evolve(pool, {.seed = seed, .generations = 3}, start, fitness.of(start), fitness);
        return fitness.screened;
    };
    EXPECT_EQ(screened(1), screened(1));
    EXPECT_NE(screened(1), screened(2));
}

/// Everything but the start looks better on the screen and is worse.
class Deceiver final : public Fitness {
public:
    std::vector<double> screen(std::span<const Genome> genomes, std::size_t) override {
        std::vector<double> scores(genomes.size(), 0.0);
        scores[0] = 1.0;
        ++n_generations;
        return scores;
    }
    std::vector<double> measure(std::span<const Genome> genomes) override {
        return std::vector<double>(genomes.size(), 2.0);
    }
    std::size_t n_generations = 0;
};

TEST(Evolution, NeverGetsWorseAndEndsWhenNothingImproves) {
    const GenePool pool = small_pool();
    const Genome start = additive_optimum(pool);
    Deceiver fitness;
    EXPECT_EQ(evolve(pool, {.seed = 1, .generations = 100, .patience = 4}, start, 1.0, fitness),
              start);
    EXPECT_EQ(fitness.n_generations, 4U);
}

TEST(Evolution, EndsWhereThereIsNothingToChoose) {
    const GenePool pool{{{{10, 1.0}}, {{20, 1.0}}}, 30};
    Deceiver fitness;
    EXPECT_EQ(evolve(pool, {}, {0, 0}, 1.0, fitness), (Genome{0, 0}));
    EXPECT_EQ(fitness.n_generations, 0U);
}

TEST(Evolution, RefusesAStartBeyondTheLimit) {
    const GenePool pool{{{{10, 1.0}, {20, 0.5}}}, 15};
    Deceiver fitness;
    EXPECT_THROW((void)evolve(pool, {}, {1}, 1.0, fitness), InternalError);
}

TEST(RankCorrelation, ByHand) {
    const std::vector<double> rising{1.0, 2.0, 3.0, 4.0};
    EXPECT_DOUBLE_EQ(rank_correlation(rising, std::vector{1.0, 4.0, 9.0, 100.0}), 1.0);
    EXPECT_DOUBLE_EQ(rank_correlation(rising, std::vector{4.0, 3.0, 2.0, 1.0}), -1.0);
    // 1 - 6 sum d^2 / (n (n^2 - 1)) with d = (0, 1, -1, 0)
    EXPECT_DOUBLE_EQ(rank_correlation(rising, std::vector{1.0, 3.0, 2.0, 4.0}), 0.8);
    // Ranks 1.5, 1.5, 3, 4 against 1, 2, 3, 4: 4.5 / sqrt(4.5 * 5)
    EXPECT_DOUBLE_EQ(rank_correlation(rising, std::vector{1.0, 1.0, 3.0, 4.0}),
                     4.5 / std::sqrt(4.5 * 5.0));
    EXPECT_TRUE(std::isnan(rank_correlation(rising, std::vector{1.0, 1.0, 1.0, 1.0})));
    EXPECT_TRUE(std::isnan(rank_correlation({}, {})));
}

}  // namespace
}  // namespace lathe
