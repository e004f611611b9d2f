#include <algorithm>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "orchestrator/search/contenders.hpp"
#include "orchestrator/search/scores.hpp"
#include "orchestrator/search/search_space.hpp"
#include "orchestrator/stages.hpp"

namespace lathe {

namespace {

using Strategy = SearchConfig::Strategy;

/// Those the job asks for first, unless there is nothing to choose between units.
std::vector<NamedScores> scores_to_use(JobRun& run, const CandidateTable& table) {
    using Scores = SearchConfig::Scores;
    const Scores wanted = run.context().job.search.scores;
    const bool mixes = run.context().job.search.strategy != Strategy::homogeneous;
    std::vector<NamedScores> all;
    if (mixes && std::ranges::any_of(table, [](const auto& unit) { return unit.size() > 2; })) {
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
    const GeneLevels levels(genes, start->plan.choice, space.limits_of_genes());
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

/// How well each way of scoring predicted the divergence of the plans that were run: `predicted` is
/// the sum of each of them, in the order of "considered".
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
        proxies.push_back({{"score", scores.name},
                           {"rank_correlation", rank_correlation(sums, kl)},
                           {"predicted", sums}});
    }
    return proxies;
}

/// units_json(), and of each its weights and what the first way of scoring says of its candidate.
nlohmann::json scored_units(const JobRun& run, const SearchSpace& space,
                            const CandidateScores& scores, const SearchResult& result) {
    nlohmann::json units = parse_json(units_json(run.spec(), result.chosen));
    for (std::size_t u = 0; u < units.size(); ++u) {
        std::uint64_t weights = 0;
        for (const std::size_t t : run.spec().units[u].tensors) {
            weights += element_count(run.spec().tensors[t].shape);
        }
        const auto chosen =
            std::ranges::find(space.table[u], result.best.plan.choice[u], &Candidate::setting);
        units[u]["weights"] = weights;
        units[u]["score"] = scores[u].at(static_cast<std::size_t>(chosen - space.table[u].begin()));
    }
    return units;
}

nlohmann::json summary(const SearchSpace& space, const EvaluatedPlan& plan) {
    nlohmann::json json{{"origin", plan.plan.origin},
                        {"predicted_bytes", plan.plan.predicted_bytes},
                        {"kl", plan.kl},
                        {"kl_standard_error", plan.kl_standard_error},
                        {"perplexity", plan.perplexity}};
    if (space.times) {
        json["seconds"] = plan.plan.predicted_seconds;
        json["speedup"] = space.times->speedup(plan.plan.predicted_seconds);
    }
    return json;
}

/// Everything needed to draw bytes, and seconds if they are known, against divergence.
nlohmann::json plan_json(const SearchSpace& space, const SearchResult& result,
                         const Budget& budget) {
    nlohmann::json json = summary(space, result.best);
    json["budget"] = to_string(budget);
    json["budget_bytes"] = result.limit_bytes;
    if (space.times) {
        json["source_seconds"] = space.times->source;
    }
    json["kept_tensors"] = {{"setting", to_string(result.chosen.back().setting)},
                            {"bytes", result.chosen.back().bytes}};
    json["considered"] = nlohmann::json::array();
    for (const EvaluatedPlan& plan : result.considered) {
        json["considered"].push_back(summary(space, plan));
    }
    return json;
}

}  // namespace

SearchResult search(JobRun& run, const Budget& budget, const std::string& plan_name) {
    const SearchSpace space = SearchSpace::of(run, budget);
    const Strategy strategy = run.context().job.search.strategy;
    SearchResult result;
    result.limit_bytes = space.limits.bytes;
    const std::vector<NamedScores> scores = scores_to_use(run, space.table);
    result.considered = evaluate_plans(run, plans_to_consider(run, space, scores));
    nlohmann::json generations = nlohmann::json::array();
    if (strategy == Strategy::evolution) {
        generations =
            improve(run, space, space.genes(run, scores.front().scores), result.considered);
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
    nlohmann::json json = plan_json(space, result, budget);
    json["units"] = scored_units(run, space, scores.front().scores, result);
    json["score"] = scores.front().name;
    json["generations"] = std::move(generations);
    json["proxies"] = proxies_json(space.table, scores, result.considered);
    write_file(run.run().plan(plan_name), json.dump(1) + "\n");
    return result;
}

std::string units_json(const ModelSpec& spec, const std::vector<Candidate>& chosen) {
    nlohmann::json units = nlohmann::json::array();
    for (std::size_t u = 0; u < spec.units.size(); ++u) {
        const Candidate& candidate = chosen.at(u);
        units.push_back({{"name", spec.units[u].name},
                         {"setting", to_string(candidate.setting)},
                         {"bytes", candidate.bytes},
                         {"error", candidate.error},
                         {"relative_error", candidate.relative_error}});
    }
    return units.dump();
}

}  // namespace lathe
