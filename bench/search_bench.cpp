// The knapsack of a large job: 96 blocks of 6 units with 20 candidates each, shapes of OPT-175B.
#include <cmath>
#include <vector>

#include <benchmark/benchmark.h>

#include "lib/core/random.hpp"
#include "orchestrator/search/knapsack.hpp"

namespace lathe {
namespace {

constexpr std::size_t n_blocks = 96;

/// Candidates of one unit: groups of 64 with a 16-bit scale, 1 to 8 bits, a few sizes between them,
/// errors that fall by 4 a bit, times a factor of the unit's and some noise.
std::vector<Option> unit_options(std::uint64_t weights, std::uint64_t unit) {
    constexpr std::size_t n_candidates = 20;
    std::vector<Option> options;
    for (std::size_t c = 0; c < n_candidates; ++c) {
        const double bits = 1.25 + 0.375 * static_cast<double>(c);
        const double noise = 0.8 + 0.4 * random_unit(1, unit * n_candidates + c);
        const double size = std::exp(3.0 * random_unit(2, unit));
        options.push_back({static_cast<std::uint64_t>(bits / 8.0 * static_cast<double>(weights)),
                           size * noise * std::pow(4.0, -bits)});
    }
    return options;
}

std::vector<std::vector<Option>> large_job() {
    constexpr std::uint64_t d = 12288;
    std::vector<std::vector<Option>> units;
    for (std::size_t b = 0; b < n_blocks; ++b) {
        for (const std::uint64_t weights : {d * d, d * d, d * d, d * d, 4 * d * d, 4 * d * d}) {
            units.push_back(unit_options(weights, units.size()));
        }
    }
    return units;
}

void knapsack(benchmark::State& state) {
    const auto units = large_job();
    std::uint64_t weights = 0;
    for (const auto& unit : units) {
        weights += unit.front().bytes * 8 * 100 / 125;
    }
    const auto limit = static_cast<std::uint64_t>(static_cast<double>(weights) *
                                                  static_cast<double>(state.range(0)) / 80.0);
    double score = 0.0;
    for (auto _ : state) {
        const auto chosen = solve_knapsack(units, limit);
        benchmark::DoNotOptimize(chosen);
        score = 0.0;
        for (std::size_t u = 0; u < units.size(); ++u) {
            score += units[u][(*chosen)[u]].score;
        }
    }
    state.counters["score"] = score;
}
BENCHMARK(knapsack)
    ->ArgName("tenths_of_a_bit_per_weight")
    ->Arg(20)
    ->Arg(32)
    ->Arg(40)
    ->Arg(53)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace lathe

BENCHMARK_MAIN();
