#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "orchestrator/plan_size.hpp"
#include "orchestrator/search/candidate_table.hpp"
#include "orchestrator/search/evolution.hpp"
#include "orchestrator/search/genes.hpp"
#include "orchestrator/search/product_times.hpp"
#include "orchestrator/search/scores.hpp"
#include "orchestrator/stages.hpp"

namespace lathe {

namespace {

using Strategy = SearchConfig::Strategy;

/// The sum of the numbers that belong to the candidates of a choice.
double sum_of(const CandidateTable& table, const std::vector<std::vector<double>>& numbers,
              const std::vector<Setting>& choice) {
    double sum = 0.0;
    for (std::size_t u = 0; u < table.size(); ++u) {
        const auto found = std::ranges::find(table[u], choice[u], &Candidate::setting);
        sum += numbers[u][static_cast<std::size_t>(found - table[u].begin())];
    }
    return sum;
}

/// What a search may choose from.
struct SearchSpace {
    CandidateTable table;
    PlanSize size;
    std::optional<ProductTimes> times;  ///< if the job asks for them
    SearchLimits limits;                ///< of the whole output, and of its products

    /// 0 where times are not known.
    [[nodiscard]] double seconds(const std::vector<Setting>& choice) const {
        return times ? sum_of(table, times->candidates, choice) : 0.0;
    }
};

SearchSpace space_of(JobRun& run, const Budget& budget) {
    SearchSpace space{read_candidate_table(run), PlanSize::of(run.context(), run.source()), {}, {}};
    space.limits.bytes = budget.limit_bytes(run.given_model().weights.tensor_bytes(),
                                            run.given_model().spec.parameters());
    space.times = product_times(run, space.table);
    const double speedup = run.context().job.search.speedup;
    if (speedup > 0.0) {
        // Sums in another order differ in their last digits.
        space.limits.seconds = space.times->source / speedup * (1.0 + 1e-9);
    }
    return space;
}

/// A way to score candidates, and its name in plan.json.
struct NamedScores {
    std::string name;
    CandidateScores scores;
};

/// Those the job asks for first, unless there is nothing to choose.
std::vector<NamedScores> scores_to_use(JobRun& run, const CandidateTable& table) {
    using Scores = SearchConfig::Scores;
    const Scores wanted = run.context().job.search.scores;
    std::vector<NamedScores> all;
    if (std::ranges::any_of(table, [](const auto& unit) { return unit.size() > 2; })) {
        if (wanted != Scores::gradient) {
            all.push_back({"measured divergence", measured_divergences(run, table)});
        }
        if (wanted != Scores::divergence) {
            all.push_back({"gradient-weighted error", gradient_weighted_errors(run, table)});
        }
    }
    all.push_back({"relative error", relative_errors(table)});
    return all;
}

std::vector<Gene> genes_of(const JobRun& run, const SearchSpace& space,
                           const CandidateScores& scores) {
    const auto seconds = space.times ? space.times->candidates : std::vector<std::vector<double>>{};
    return make_genes(run.spec(), space.table, options_of(space.size, space.table, scores, seconds),
                      run.context().job.search.tied_blocks);
}

/// What genes may take beside what every output has.
SearchLimits limits_of_genes(const SearchSpace& space) {
    const SearchLimits& limits = space.limits;
    return {limits.bytes - std::min(limits.bytes, space.size.fixed_bytes()), limits.seconds};
}

[[noreturn]] void refuse(const JobRun& run, const SearchSpace& space,
                         const std::vector<std::vector<Option>>& genes) {
    const std::uint64_t limit = space.limits.bytes;
    if (const auto fastest = solve_fastest(genes, limits_of_genes(space).bytes)) {
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

/// What `solve` (of knapsack.hpp) chooses within the limits.
std::vector<Setting> choice_by(const SolveWithinBytes& solve, const JobRun& run,
                               const SearchSpace& space, const std::vector<Gene>& genes) {
    std::vector<std::vector<Option>> options;
    std::ranges::transform(genes, std::back_inserter(options), &Gene::options);
    const auto chosen = solve_within(options, limits_of_genes(space), solve);
    if (!chosen) {
        refuse(run, space, options);
    }
    return choice_of(genes, *chosen);
}

/// The plans of the job's strategy first, then every homogeneous one that fits, without repetition.
std::vector<Plan> plans_to_consider(JobRun& run, const SearchSpace& space,
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
    for (const NamedScores& scores : all_scores) {
        const std::vector<Gene> genes = genes_of(run, space, scores.scores);
        if (strategy >= Strategy::knapsack) {
            add(choice_by(exact, run, space, genes), "search by " + scores.name);
        }
        if (strategy >= Strategy::greedy) {
            add(choice_by(solve_greedy, run, space, genes), "greedy by " + scores.name);
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

/// Genomes as plans of a job: screened on a part of the evaluation samples, measured on all.
class PlanFitness final : public Fitness {
public:
    PlanFitness(JobRun& run, const SearchSpace& space, const GeneLevels& levels,
                std::vector<EvaluatedPlan>& considered)
        : run_(run),
          space_(space),
          levels_(levels),
          considered_(considered),
          parts_(run.samples().evaluation.ranges(screening_tokens)) {
        // Generations come one after another, and in each a single task would make its reference.
        const auto n_ranks = static_cast<std::size_t>(run.first_ranks());
        const std::size_t n_used = std::min(parts_.size(), run.context().job.search.generations);
        if (n_ranks > 1) {
            make_references_ahead(run, std::span(parts_).first(std::min(n_ranks, n_used)));
        }
    }

    std::vector<double> screen(std::span<const Genome> genomes, std::size_t generation) override {
        generation_ = generation;
        const std::vector<Setting> base = levels_.choice(genomes.front());
        std::vector<Variant> variants;
        for (const Genome& genome : genomes) {
            const std::vector<Setting> choice = levels_.choice(genome);
            Variant& variant = variants.emplace_back();
            for (std::size_t u = 0; u < choice.size(); ++u) {
                if (choice[u] != base[u]) {
                    variant.push_back({u, choice[u]});
                }
            }
        }
        return divergences_of_variants(
            run_, base, variants,
            run_.samples().evaluation.part(parts_[generation % parts_.size()]));
    }

    std::vector<double> measure(std::span<const Genome> genomes) override {
        std::vector<Plan> plans;
        for (const Genome& genome : genomes) {
            std::vector<Setting> choice = levels_.choice(genome);
            const std::uint64_t bytes = space_.size.bytes(choice);
            const double seconds = space_.seconds(choice);
            plans.push_back({std::move(choice),
                             bytes,
                             seconds,
                             "evolution, generation " + std::to_string(generation_),
                             {}});
        }
        std::vector<double> fitness;
        for (EvaluatedPlan& plan : evaluate_plans(run_, std::move(plans))) {
            fitness.push_back(plan.kl);
            considered_.push_back(std::move(plan));
        }
        return fitness;
    }

private:
    static constexpr std::size_t screening_tokens = 512;

    JobRun& run_;
    const SearchSpace& space_;
    const GeneLevels& levels_;
    std::vector<EvaluatedPlan>& considered_;
    std::vector<SequenceRange> parts_;
    std::size_t generation_ = 0;
};

/// Adds what evolution measures to `considered`. It starts from the best plan there that ties
/// allow.
nlohmann::json improve(JobRun& run, const SearchSpace& space, const std::vector<Gene>& genes,
                       std::vector<EvaluatedPlan>& considered) {
    const EvaluatedPlan* start = nullptr;
    for (const EvaluatedPlan& plan : considered) {
        if ((start == nullptr || plan.kl < start->kl) && is_tied(genes, plan.plan.choice)) {
            start = &plan;
        }
    }
    nlohmann::json generations = nlohmann::json::array();
    if (start == nullptr || start->kl == 0.0) {
        return generations;
    }
    const SearchConfig& search = run.context().job.search;
    const GeneLevels levels(genes, start->plan.choice, limits_of_genes(space));
    const double start_kl = start->kl;  // considered grows
    PlanFitness fitness(run, space, levels, considered);
    EvolutionSettings settings;
    settings.seed = run.context().job.seed;
    settings.generations = search.generations;
    settings.offspring = search.offspring;
    (void)evolve(levels.pool(), settings, levels.start(), start_kl, fitness,
                 [&](const Generation& generation) {
                     generations.push_back({{"generation", generation.number},
                                            {"screened", generation.n_screened},
                                            {"measured", generation.measured.size()},
                                            {"kl", generation.best}});
                 });
    return generations;
}

/// How well each way of scoring predicted the divergence of the plans that were run.
nlohmann::json proxies_json(const CandidateTable& table, std::vector<NamedScores> all_scores,
                            const std::vector<EvaluatedPlan>& considered) {
    all_scores.push_back({"absolute error", absolute_errors(table)});
    std::vector<double> kl;
    std::ranges::transform(considered, std::back_inserter(kl), &EvaluatedPlan::kl);
    nlohmann::json proxies = nlohmann::json::array();
    for (const NamedScores& scores : all_scores) {
        std::vector<double> sums;
        for (const EvaluatedPlan& plan : considered) {
            sums.push_back(sum_of(table, scores.scores, plan.plan.choice));
        }
        // Not a number, with too few plans, is written as null.
        proxies.push_back(
            {{"score", scores.name}, {"rank_correlation", rank_correlation(sums, kl)}});
    }
    return proxies;
}

nlohmann::json summary(const SearchSpace& space, const EvaluatedPlan& plan) {
    nlohmann::json json{{"origin", plan.plan.origin},
                        {"predicted_bytes", plan.plan.predicted_bytes},
                        {"kl", plan.kl},
                        {"perplexity", plan.perplexity}};
    if (space.times) {
        json["seconds"] = plan.plan.predicted_seconds;
        json["speedup"] = space.times->speedup(plan.plan.predicted_seconds);
    }
    return json;
}

/// Everything needed to draw bytes, and seconds if they are known, against divergence.
nlohmann::json plan_json(const JobRun& run, const SearchSpace& space, const SearchResult& result,
                         const Budget& budget) {
    nlohmann::json json = summary(space, result.best);
    json["budget"] = to_string(budget);
    json["budget_bytes"] = result.limit_bytes;
    if (space.times) {
        json["source_seconds"] = space.times->source;
    }
    json["units"] = parse_json(units_json(run.spec(), result.chosen));
    json["considered"] = nlohmann::json::array();
    for (const EvaluatedPlan& plan : result.considered) {
        json["considered"].push_back(summary(space, plan));
    }
    return json;
}

}  // namespace

SearchResult search(JobRun& run, const Budget& budget, const std::string& plan_name) {
    const SearchSpace space = space_of(run, budget);
    const Strategy strategy = run.context().job.search.strategy;
    SearchResult result;
    result.limit_bytes = space.limits.bytes;
    const std::vector<NamedScores> scores = scores_to_use(run, space.table);
    result.considered = evaluate_plans(run, plans_to_consider(run, space, scores));
    nlohmann::json generations = nlohmann::json::array();
    if (strategy == Strategy::evolution) {
        generations =
            improve(run, space, genes_of(run, space, scores.front().scores), result.considered);
    }
    if (result.considered.empty()) {
        throw InfeasibleError("no homogeneous plan is within the limits (" +
                              std::to_string(result.limit_bytes) +
                              " bytes); search.strategy: knapsack mixes candidates");
    }
    // Of equal divergence the earlier wins: the searched plan comes first.
    result.best = *std::ranges::min_element(result.considered, {}, &EvaluatedPlan::kl);
    result.best.plan.predicted_bytes = space.size.exact_bytes(result.best.plan.choice);
    result.chosen = chosen_candidates(space.table, result.best.plan.choice);
    if (space.times) {
        result.speedup = space.times->speedup(result.best.plan.predicted_seconds);
    }
    nlohmann::json json = plan_json(run, space, result, budget);
    json["generations"] = std::move(generations);
    json["proxies"] = proxies_json(space.table, scores, result.considered);
    write_file(run.run().plan(plan_name), json.dump(1) + "\n");
    return result;
}

std::string units_json(const ModelSpec& spec, const std::vector<Candidate>& chosen) {
    nlohmann::json units = nlohmann::json::array();
    for (const Candidate& candidate : chosen) {
        units.push_back({{"name", spec.units[candidate.unit].name},
                         {"setting", to_string(candidate.setting)},
                         {"bytes", candidate.bytes},
                         {"error", candidate.error},
                         {"relative_error", candidate.relative_error}});
    }
    return units.dump();
}

}  // namespace lathe
