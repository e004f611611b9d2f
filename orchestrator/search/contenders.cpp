#include "orchestrator/search/contenders.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

using Strategy = SearchConfig::Strategy;

[[noreturn]] void refuse(const JobRun& run, const SearchSpace& space,
                         const std::vector<std::vector<Option>>& genes) {
    const std::uint64_t limit = space.limits.bytes;
    if (const auto fastest = solve_fastest(genes, space.limits_of_genes().bytes)) {
        throw InfeasibleError(fmt::format(
            "no plan within {} bytes is {:g} times as fast as the source; the fastest of these "
            "candidates is {:.3g} times as fast",
            limit, run.context().job.search.speedup,
            space.times->speedup(seconds_of(genes, *fastest))));
    }
    std::uint64_t smallest = space.size.fixed_bytes();
    for (const auto& gene : genes) {
        smallest += std::ranges::min(gene, {}, &Option::bytes).bytes;
    }
    throw InfeasibleError(
        fmt::format("no plan fits {} bytes; the smallest possible output of these candidates is "
                    "{} bytes",
                    limit, smallest));
}

std::vector<std::vector<Option>> options_of_genes(const std::vector<Gene>& genes) {
    std::vector<std::vector<Option>> options;
    std::ranges::transform(genes, std::back_inserter(options), &Gene::options);
    return options;
}

/// What `solve` (of knapsack.hpp) chooses within the limits, with each setting of the tensors of no
/// unit that allows a plan.
std::vector<std::vector<Setting>> choices_by(const SolveWithinBytes& solve, const JobRun& run,
                                             const SearchSpace& space,
                                             const std::vector<Gene>& genes) {
    std::vector<std::vector<Setting>> choices;
    std::vector<Gene> with_one = genes;
    for (std::size_t kept = 0; kept < genes.back().choices.size(); ++kept) {
        with_one.back().choices = {genes.back().choices[kept]};
        with_one.back().options = {genes.back().options[kept]};
        if (const auto chosen =
                solve_within(options_of_genes(with_one), space.limits_of_genes(), solve)) {
            choices.push_back(choice_of(with_one, *chosen));
        }
    }
    if (choices.empty()) {
        refuse(run, space, options_of_genes(genes));
    }
    return choices;
}

}  // namespace

std::vector<Plan> plans_to_consider(const JobRun& run, const SearchSpace& space,
                                    const std::vector<NamedScores>& all_scores) {
    std::vector<Plan> plans;
    const auto add = [&](std::vector<Setting> choice, std::string origin) {
        const std::uint64_t bytes = space.size.bytes(choice);
        const double seconds = space.seconds(choice);
        const bool seen =
            std::ranges::any_of(plans, [&](const Plan& plan) { return plan.choice == choice; });
        if (bytes <= space.limits.bytes && seconds <= space.limits.seconds && !seen) {
            plans.push_back({std::move(choice), bytes, seconds, std::move(origin), {}});
        }
    };
    const Strategy strategy = run.context().job.search.strategy;
    const auto exact = [](const auto& units, std::uint64_t limit) {
        return solve_knapsack(units, limit);
    };
    const auto add_all = [&](std::vector<std::vector<Setting>> choices, const std::string& origin) {
        for (std::vector<Setting>& choice : choices) {
            add(std::move(choice), origin);
        }
    };
    for (const NamedScores& scores : all_scores) {
        const std::vector<Gene> genes = space.genes(run, scores.scores);
        if (strategy >= Strategy::knapsack) {
            add_all(choices_by(exact, run, space, genes), "search by " + scores.name);
        }
        if (strategy >= Strategy::greedy) {
            add_all(choices_by(solve_greedy, run, space, genes), "greedy by " + scores.name);
        }
    }
    const std::vector<Gene> units =
        make_genes(run.spec(), space.table,
                   options_of(space.size, space.table, all_scores.back().scores, {}), 1);
    for (const Setting& setting : distinct_settings(space.table)) {
        if (auto choice = homogeneous_choice(space.table, setting);
            choice && is_tied(units, *choice)) {
            add(std::move(*choice), "homogeneous " + to_string(setting));
        }
    }
    return plans;
}

}  // namespace lathe
