#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <tuple>

#include "lib/core/errors.hpp"
#include "lib/core/hash.hpp"
#include "lib/core/json.hpp"
#include "lib/core/log.hpp"
#include "orchestrator/container_size.hpp"
#include "orchestrator/search/knapsack.hpp"
#include "orchestrator/stages.hpp"
#include "workers/compression.hpp"
#include "workers/evaluation.hpp"
#include "workers/forward.hpp"
#include "workers/sensitivity.hpp"
#include "workers/task_table.hpp"

namespace lathe {

namespace {

using CandidateTable = std::vector<std::vector<Candidate>>;  // for each unit

CandidateTable read_table(const JobRun& run) {
    CandidateTable table;
    for (std::size_t u = 0; u < run.spec().units.size(); ++u) {
        table.push_back(read_candidates(run.run().candidates(run.spec().units[u].name), u));
    }
    return table;
}

/// How bad an error of a unit is: the score of a candidate is this times its relative error.
using UnitWeights = std::vector<double>;

/// The candidate a unit is tried under: the largest of at most a quarter of its source's bytes.
const Candidate& probe_of(const JobRun& run, const std::vector<Candidate>& candidates) {
    const std::uint64_t source =
        predicted_bytes(run.source(), candidates.front().unit, source_setting());
    const Candidate* best = nullptr;
    for (const Candidate& c : candidates) {
        const auto key = [&](const Candidate& x) {
            const bool fits = 4 * x.bytes <= source;
            // Those that fit first, the larger the better; then the smallest of the others.
            return std::tuple(!fits, fits ? source - x.bytes : x.bytes, x.relative_error);
        };
        if (best == nullptr || key(c) < key(*best)) {
            best = &c;
        }
    }
    return *best;
}

/// Divergence of the whole model per relative error of each unit, measured by changing one unit at
/// a time on the first evaluation samples.
UnitWeights measure_unit_weights(JobRun& run, const CandidateTable& table) {
    constexpr std::size_t tokens_per_task = 512;
    constexpr std::size_t max_tokens = 2048;
    const TokenSequences& all = run.samples().evaluation;
    const TokenSequences samples = all.part(all.ranges(max_tokens).front());
    const std::vector<SequenceRange> ranges = samples.ranges(tokens_per_task);
    std::vector<StageTask> tasks;
    for (std::size_t first = 0; first < table.size(); first += max_sensitivity_units) {
        SensitivityTask group;
        std::vector<std::string> parts{"sensitivity", std::to_string(first)};
        for (std::size_t u = first; u < std::min(table.size(), first + max_sensitivity_units);
             ++u) {
            group.units.push_back(u);
            group.probes.push_back(probe_of(run, table[u]).setting);
            parts.push_back(to_string(group.probes.back()));
        }
        for (const SequenceRange& range : ranges) {
            group.samples = samples.part(range);
            StageTask task;
            task.task.stage = stage::sensitivity;
            task.task.id =
                "sensitivity/" + run.fingerprint(parts) + "/" + std::to_string(range.first);
            // The earlier the units, the more blocks their streams pass.
            task.task.cost = static_cast<double>(table.size() - first);
            task.task.arguments = to_json(group);
            tasks.push_back(std::move(task));
        }
    }
    const std::vector<std::string> answers = run.run_stage("search", std::move(tasks));
    UnitWeights weights(table.size(), 0.0);
    for (std::size_t a = 0; a < answers.size(); ++a) {
        const auto values = parse_json(answers[a]).get<std::vector<double>>();
        const std::size_t first = a / ranges.size() * max_sensitivity_units;
        for (std::size_t i = 0; i < values.size(); ++i) {
            weights[first + i] += values[i];
        }
    }
    const auto rows = static_cast<double>(ForwardPass::head_rows(run.spec(), samples));
    for (std::size_t u = 0; u < weights.size(); ++u) {
        const double error = probe_of(run, table[u]).relative_error;
        weights[u] = error > 0.0 ? weights[u] / rows / error : 0.0;
    }
    return weights;
}

/// Units and their options; bytes include the container's share.
std::vector<std::vector<Option>> options_of(const JobRun& run, const CandidateTable& table,
                                            const UnitWeights& weights) {
    std::vector<std::vector<Option>> options;
    for (std::size_t u = 0; u < table.size(); ++u) {
        std::vector<Option> unit;
        for (const Candidate& c : table[u]) {
            unit.push_back({c.bytes + ContainerSize::unit_bytes(run.spec().units[u], c.setting),
                            weights[u] * c.relative_error});
        }
        options.push_back(std::move(unit));
    }
    return options;
}

std::vector<Setting> knapsack_choice(const JobRun& run, const CandidateTable& table,
                                     const UnitWeights& weights, std::uint64_t limit) {
    const std::uint64_t fixed = ContainerSize::of(run.source()).fixed_bytes;
    const auto options = options_of(run, table, weights);
    const auto chosen = limit < fixed ? std::nullopt : solve_knapsack(options, limit - fixed);
    if (!chosen) {
        std::uint64_t smallest = fixed;
        for (const auto& unit : options) {
            smallest += std::ranges::min(unit, {}, &Option::bytes).bytes;
        }
        throw InfeasibleError("no plan fits " + std::to_string(limit) +
                              " bytes; the smallest possible output of these candidates is " +
                              std::to_string(smallest) + " bytes");
    }
    std::vector<Setting> choice;
    for (std::size_t u = 0; u < table.size(); ++u) {
        choice.push_back(table[u][(*chosen)[u]].setting);
    }
    return choice;
}

std::size_t differing_values(const Setting& a, const Setting& b) {
    std::size_t n = 0;
    for (const auto& [key, value] : a.values) {
        const auto found = b.values.find(key);
        n += found == b.values.end() || found->second != value;
    }
    return n;
}

/// The searched plans first, then every homogeneous one that fits, without repetition.
std::vector<Plan> plans_to_consider(JobRun& run, const CandidateTable& table, std::uint64_t limit) {
    std::vector<Plan> plans;
    const auto add = [&](std::vector<Setting> choice, std::string origin) {
        const std::uint64_t bytes = predicted_output_bytes(run.source(), choice);
        const bool seen =
            std::ranges::any_of(plans, [&](const Plan& plan) { return plan.choice == choice; });
        if (bytes <= limit && !seen) {
            plans.push_back({std::move(choice), bytes, std::move(origin)});
        }
    };
    const UnitWeights equal(table.size(), 1.0);
    std::vector<Setting> by_error = knapsack_choice(run, table, equal, limit);
    const bool has_choice =
        std::ranges::any_of(table, [](const auto& unit) { return unit.size() > 2; });
    if (has_choice) {
        add(knapsack_choice(run, table, measure_unit_weights(run, table), limit),
            "search by measured divergence");
    }
    add(std::move(by_error), "search by relative error");
    std::vector<Setting> settings;
    for (const auto& unit : table) {
        for (const Candidate& c : unit) {
            if (std::ranges::find(settings, c.setting) == settings.end()) {
                settings.push_back(c.setting);
            }
        }
    }
    for (const Setting& setting : settings) {
        if (auto choice = homogeneous_choice(table, setting)) {
            add(std::move(*choice), "homogeneous " + to_string(setting));
        }
    }
    return plans;
}

std::string hash_of(const std::vector<Setting>& choice) {
    Hasher hasher;
    for (const Setting& setting : choice) {
        hasher.add_field(to_string(setting));
    }
    return to_hex(hasher.digest());
}

/// Runs all plans on the evaluation samples, tasks side by side on the ranks.
std::vector<EvaluatedPlan> evaluate_plans(JobRun& run, std::vector<Plan> plans) {
    const std::vector<TokenSequences> chunks = evaluation_chunks(run.samples().evaluation);
    std::vector<StageTask> tasks;
    for (const Plan& plan : plans) {
        for (std::size_t c = 0; c < chunks.size(); ++c) {
            EvaluationTask evaluation;
            evaluation.choice = plan.choice;
            evaluation.against_source = true;
            evaluation.chunk = c;
            evaluation.samples = chunks[c];
            StageTask task;
            task.task.stage = stage::evaluate;
            task.task.id =
                "search/" + run.fingerprint({hash_of(plan.choice)}) + "/" + std::to_string(c);
            task.task.cost = static_cast<double>(chunks[c].ids.size());
            task.task.arguments = to_json(evaluation);
            tasks.push_back(std::move(task));
        }
    }
    const std::vector<std::string> answers = run.run_stage("search", std::move(tasks));
    const TokenSequences& samples = run.samples().evaluation;
    const auto rows = static_cast<double>(ForwardPass::head_rows(run.spec(), samples));
    const auto predicted = static_cast<double>(samples.predicted_tokens());
    std::vector<EvaluatedPlan> evaluated;
    for (std::size_t p = 0; p < plans.size(); ++p) {
        double kl = 0.0;
        double nll = 0.0;
        for (std::size_t c = 0; c < chunks.size(); ++c) {
            const SampleLosses losses = sample_losses_from_json(answers[p * chunks.size() + c]);
            for (double value : losses.kl) {
                kl += value;
            }
            for (double value : losses.nll) {
                nll += value;
            }
        }
        const bool predicts = run.spec().head == HeadKind::language_model;
        const double perplexity =
            predicts ? std::exp(nll / predicted) : std::numeric_limits<double>::quiet_NaN();
        evaluated.push_back({std::move(plans[p]), kl / rows, perplexity});
    }
    return evaluated;
}

nlohmann::json summary(const EvaluatedPlan& plan) {
    return {{"origin", plan.plan.origin},
            {"predicted_bytes", plan.plan.predicted_bytes},
            {"kl", plan.kl},
            {"perplexity", plan.perplexity}};
}

std::vector<Candidate> chosen_candidates(const CandidateTable& table,
                                         const std::vector<Setting>& choice) {
    std::vector<Candidate> chosen;
    for (std::size_t u = 0; u < table.size(); ++u) {
        chosen.push_back(*std::ranges::find(table[u], choice[u], &Candidate::setting));
    }
    return chosen;
}

void write_plan(const JobRun& run, const SearchResult& result, const Budget& budget,
                const std::filesystem::path& file) {
    nlohmann::json json = summary(result.best);
    json["budget"] = to_string(budget);
    json["budget_bytes"] = result.limit_bytes;
    json["units"] = parse_json(units_json(run.spec(), result.chosen));
    json["considered"] = nlohmann::json::array();
    for (const EvaluatedPlan& plan : result.considered) {
        json["considered"].push_back(summary(plan));
    }
    write_file(file, json.dump(1) + "\n");
}

}  // namespace

std::optional<std::vector<Setting>> homogeneous_choice(
    const std::vector<std::vector<Candidate>>& candidates, const Setting& setting) {
    std::vector<Setting> choice;
    for (const auto& unit : candidates) {
        const Candidate* best = nullptr;
        std::size_t best_difference = 0;
        for (const Candidate& c : unit) {
            if (c.setting.method != setting.method && unit.size() > 1) {
                continue;
            }
            const std::size_t difference = differing_values(setting, c.setting);
            if (best == nullptr || difference < best_difference ||
                (difference == best_difference &&
                 std::pair(c.bytes, c.relative_error) <
                     std::pair(best->bytes, best->relative_error))) {
                best = &c;
                best_difference = difference;
            }
        }
        if (best == nullptr) {
            return std::nullopt;
        }
        choice.push_back(best->setting);
    }
    return choice;
}

std::vector<TokenSequences> evaluation_chunks(const TokenSequences& samples) {
    std::vector<TokenSequences> chunks;
    for (const SequenceRange& range : samples.ranges(tokens_per_evaluation_task)) {
        chunks.push_back(samples.part(range));
    }
    return chunks;
}

SearchResult search(JobRun& run, const Budget& budget, const std::string& plan_name) {
    const CandidateTable table = read_table(run);
    SearchResult result;
    result.limit_bytes = budget.limit_bytes(run.given_model().weights.tensor_bytes(),
                                            run.given_model().spec.parameters());
    result.considered = evaluate_plans(run, plans_to_consider(run, table, result.limit_bytes));
    // Of equal divergence the earlier wins: the searched plan comes first.
    result.best = *std::ranges::min_element(result.considered, {}, &EvaluatedPlan::kl);
    result.chosen = chosen_candidates(table, result.best.plan.choice);
    write_plan(run, result, budget, run.run().plan(plan_name));
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
