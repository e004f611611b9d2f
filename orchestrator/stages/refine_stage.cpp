#include <algorithm>
#include <span>

#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "orchestrator/estimate/memory_estimate.hpp"
#include "orchestrator/stages.hpp"
#include "orchestrator/stages/chain_stage.hpp"
#include "workers/candidates/refined_weights.hpp"
#include "workers/candidates/refinement.hpp"
#include "workers/task_table.hpp"

namespace lathe {

namespace {

/// Stands for the plan and for everything that refinement makes of it.
std::string name_of(const JobRun& run, const Plan& plan) {
    std::vector<std::string> parts{"refine"};
    for (const Setting& setting : plan.choice) {
        parts.push_back(to_string(setting));
    }
    return run.fingerprint(parts);
}

/// A chain: each block's task needs the streams that the one before leaves. All ranks take it
/// together, each with its share of the samples.
void refine_blocks(JobRun& run, const Plan& plan, const std::string& name) {
    const ModelSpec& spec = run.spec();
    std::vector<StageTask> tasks;
    for (std::size_t b = 0; b <= spec.n_blocks; ++b) {
        const std::string place = place_name(b, spec.n_blocks);
        StageTask task;
        task.task.stage = stage::refine;
        task.task.id = "refine/" + name + "/" + place;
        task.artifact = run.run().refined(name, place);
        task.fingerprint = run.fingerprint({task.task.id});
        make_directories(task.artifact.parent_path());
        tasks.push_back(std::move(task));
    }
    const std::uint64_t compressing = sum_units(run.context(), run.source()).refining_bytes;
    run_chain(
        run, "refine", tasks, run.fingerprint({"streams", name}),
        rank_memory_of(run.given_context()).refine(compressing).in_files,
        [&](std::size_t b, const StoredStreams& streams) {
            return to_json(RefinementTask{b, plan.choice, name, tasks[b].fingerprint, streams});
        });
}

/// Without the tensors of no unit, which stand behind them and stay as they are.
std::span<Candidate> units_of(const JobRun& run, std::vector<Candidate>& chosen) {
    return std::span(chosen).first(run.spec().units.size());
}

/// The errors that refined units have now, against their new targets.
void take_errors(const JobRun& run, const std::string& name, std::vector<Candidate>& chosen) {
    for (Candidate& candidate : units_of(run, chosen)) {
        const UnitSpec& unit = run.spec().units[candidate.unit];
        if (!is_refined(run.spec(), unit, candidate.setting)) {
            continue;
        }
        const RefinedError error = read_refined_error(
            run.run().refined(name, place_name(unit.block, run.spec().n_blocks)), unit.name);
        candidate.error = error.error;
        candidate.relative_error = error.relative_error;
    }
}

}  // namespace

std::optional<RefineReport> refine(JobRun& run, SearchResult& found, const std::string& plan_name) {
    const auto units = units_of(run, found.chosen);
    const bool changes = std::ranges::any_of(units, [&](const Candidate& c) {
        return is_refined(run.spec(), run.spec().units[c.unit], c.setting);
    });
    if (run.context().job.refine == RefineMode::none || !changes) {
        return std::nullopt;
    }
    const std::string name = name_of(run, found.best.plan);
    refine_blocks(run, found.best.plan, name);
    Plan plan = found.best.plan;
    plan.origin += ", refined";
    plan.refined = name;
    const EvaluatedPlan refined = evaluate_plans(run, {std::move(plan)}).front();
    const RefineReport report{found.best.kl, refined.kl, refined.perplexity,
                              refined.kl < found.best.kl};
    if (report.accepted) {
        found.best = refined;
        take_errors(run, name, found.chosen);
    }
    nlohmann::json json{{"plan_kl", report.plan_kl},
                        {"kl", report.kl},
                        {"perplexity", report.perplexity},
                        {"accepted", report.accepted},
                        {"name", name}};
    json["units"] = parse_json(units_json(run.spec(), found.chosen));
    write_file(run.run().refinement(plan_name), json.dump(1) + "\n");
    return report;
}

}  // namespace lathe
