#include <algorithm>
#include <optional>

#include "lib/config/job_keys.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "orchestrator/container_size.hpp"
#include "orchestrator/search/candidate_table.hpp"
#include "orchestrator/search/evolution.hpp"
#include "orchestrator/search/genes.hpp"
#include "orchestrator/search/scores.hpp"
#include "orchestrator/stages.hpp"

namespace lathe {

namespace {

/// Each tries what those before it try, and more.
enum class SearchStrategy { homogeneous, greedy, knapsack, evolution };

SearchStrategy strategy_of(const JobRun& run) {
    const auto found = std::ranges::find(search_strategies, run.context().job.search.strategy);
    return static_cast<SearchStrategy>(found - search_strategies.begin());
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

std::vector<Gene> genes_of(const JobRun& run, const CandidateTable& table,
                           const CandidateScores& scores) {
    return make_genes(run.spec(), table, options_of(run, table, scores),
                      run.context().job.search.tied_blocks);
}

/// What `solve` (of knapsack.hpp) chooses within the limit.
template <class Solve>
std::vector<Setting> choice_by(const Solve& solve, const JobRun& run,
                               const std::vector<Gene>& genes, std::uint64_t limit) {
    const std::uint64_t fixed = ContainerSize::of(run.source()).fixed_bytes;
    std::vector<std::vector<Option>> options;
    std::ranges::transform(genes, std::back_inserter(options), &Gene::options);
    const auto chosen = limit < fixed ? std::nullopt : solve(options, limit - fixed);
    if (!chosen) {
        std::uint64_t smallest = fixed;
        for (const auto& gene : options) {
            smallest += std::ranges::min(gene, {}, &Option::bytes).bytes;
        }
        throw InfeasibleError("no plan fits " + std::to_string(limit) +
                              " bytes; the smallest possible output of these candidates is " +
                              std::to_string(smallest) + " bytes");
    }
    return choice_of(genes, *chosen);
}

std::vector<Setting> knapsack_choice(const JobRun& run, const std::vector<Gene>& genes,
                                     std::uint64_t limit) {
    return choice_by(
        [](const auto& units, std::uint64_t left) { return solve_knapsack(units, left); }, run,
        genes, limit);
}

/// The plans of the job's strategy first, then every homogeneous one that fits, without repetition.
std::vector<Plan> plans_to_consider(JobRun& run, const CandidateTable& table,
                                    const std::vector<NamedScores>& all_scores,
                                    std::uint64_t limit) {
    std::vector<Plan> plans;
    const auto add = [&](std::vector<Setting> choice, std::string origin) {
        const std::uint64_t bytes = predicted_output_bytes(run.source(), choice);
        const bool seen =
            std::ranges::any_of(plans, [&](const Plan& plan) { return plan.choice == choice; });
        if (bytes <= limit && !seen) {
            plans.push_back({std::move(choice), bytes, std::move(origin), {}});
        }
    };
    const SearchStrategy strategy = strategy_of(run);
    for (const NamedScores& scores : all_scores) {
        const std::vector<Gene> genes = genes_of(run, table, scores.scores);
        if (strategy >= SearchStrategy::knapsack) {
            add(knapsack_choice(run, genes, limit), "search by " + scores.name);
        }
        if (strategy >= SearchStrategy::greedy) {
            add(choice_by(solve_greedy, run, genes, limit), "greedy by " + scores.name);
        }
    }
    for (const Setting& setting : distinct_settings(table)) {
        if (auto choice = homogeneous_choice(table, setting)) {
            add(std::move(*choice), "homogeneous " + to_string(setting));
        }
    }
    return plans;
}

/// Genomes as plans of a job: screened on a part of the evaluation samples, measured on all.
class PlanFitness final : public Fitness {
public:
    PlanFitness(JobRun& run, const GeneLevels& levels, std::vector<EvaluatedPlan>& considered)
        : run_(run),
          levels_(levels),
          considered_(considered),
          parts_(run.samples().evaluation.ranges(screening_tokens)) {}

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
            const std::uint64_t bytes = predicted_output_bytes(run_.source(), choice);
            plans.push_back({std::move(choice),
                             bytes,
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
    const GeneLevels& levels_;
    std::vector<EvaluatedPlan>& considered_;
    std::vector<SequenceRange> parts_;
    std::size_t generation_ = 0;
};

/// Adds what evolution measures to `considered`. It starts from the best plan there that ties
/// allow.
nlohmann::json improve(JobRun& run, const std::vector<Gene>& genes, std::uint64_t limit,
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
    const GeneLevels levels(genes, start->plan.choice,
                            limit - ContainerSize::of(run.source()).fixed_bytes);
    const double start_kl = start->kl;  // considered grows
    PlanFitness fitness(run, levels, considered);
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

/// How well each way of scoring foretold the divergence of the plans that were run.
nlohmann::json proxies_json(const CandidateTable& table, std::vector<NamedScores> all_scores,
                            const std::vector<EvaluatedPlan>& considered) {
    all_scores.push_back({"absolute error", absolute_errors(table)});
    std::vector<double> kl;
    std::ranges::transform(considered, std::back_inserter(kl), &EvaluatedPlan::kl);
    nlohmann::json proxies = nlohmann::json::array();
    for (const NamedScores& scores : all_scores) {
        std::vector<double> sums;
        for (const EvaluatedPlan& plan : considered) {
            double sum = 0.0;
            for (std::size_t u = 0; u < table.size(); ++u) {
                const auto found =
                    std::ranges::find(table[u], plan.plan.choice[u], &Candidate::setting);
                sum += scores.scores[u][static_cast<std::size_t>(found - table[u].begin())];
            }
            sums.push_back(sum);
        }
        // Not a number, with too few plans, is written as null.
        proxies.push_back(
            {{"score", scores.name}, {"rank_correlation", rank_correlation(sums, kl)}});
    }
    return proxies;
}

nlohmann::json summary(const EvaluatedPlan& plan) {
    return {{"origin", plan.plan.origin},
            {"predicted_bytes", plan.plan.predicted_bytes},
            {"kl", plan.kl},
            {"perplexity", plan.perplexity}};
}

/// Everything needed to draw bytes against divergence.
nlohmann::json plan_json(const JobRun& run, const SearchResult& result, const Budget& budget) {
    nlohmann::json json = summary(result.best);
    json["budget"] = to_string(budget);
    json["budget_bytes"] = result.limit_bytes;
    json["units"] = parse_json(units_json(run.spec(), result.chosen));
    json["considered"] = nlohmann::json::array();
    for (const EvaluatedPlan& plan : result.considered) {
        json["considered"].push_back(summary(plan));
    }
    return json;
}

}  // namespace

SearchResult search(JobRun& run, const Budget& budget, const std::string& plan_name) {
    const CandidateTable table = read_candidate_table(run);
    SearchResult result;
    result.limit_bytes = budget.limit_bytes(run.given_model().weights.tensor_bytes(),
                                            run.given_model().spec.parameters());
    const std::vector<NamedScores> scores = scores_to_use(run, table);
    result.considered =
        evaluate_plans(run, plans_to_consider(run, table, scores, result.limit_bytes));
    nlohmann::json generations = nlohmann::json::array();
    if (strategy_of(run) == SearchStrategy::evolution) {
        generations = improve(run, genes_of(run, table, scores.front().scores), result.limit_bytes,
                              result.considered);
    }
    if (result.considered.empty()) {
        throw InfeasibleError("no homogeneous plan fits " + std::to_string(result.limit_bytes) +
                              " bytes; search.strategy: knapsack mixes candidates");
    }
    // Of equal divergence the earlier wins: the searched plan comes first.
    result.best = *std::ranges::min_element(result.considered, {}, &EvaluatedPlan::kl);
    result.chosen = chosen_candidates(table, result.best.plan.choice);
    nlohmann::json json = plan_json(run, result, budget);
    json["generations"] = std::move(generations);
    json["proxies"] = proxies_json(table, scores, result.considered);
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
