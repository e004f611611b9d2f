#include <fmt/format.h>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "orchestrator/commands.hpp"
#include "orchestrator/damaged_artifacts.hpp"
#include "orchestrator/job_end.hpp"
#include "orchestrator/stages.hpp"

namespace lathe {

namespace {

std::string plan_name(const Budget& budget, double speedup) {
    return to_string(budget) + (speedup > 0.0 ? fmt::format("_speedup_{:g}", speedup) : "");
}

CommandOutput search_budgets(const CommandContext& context, const JobConfig& job,
                             const std::vector<Budget>& budgets) {
    JobRun run(JobContext::open(job, context.world), context.coordinator, JobRun::Record::keep);
    if (run.job().slice) {
        slice(run);  // all of it done: nothing but the sliced model is opened
    }
    order_neurons(run);  // likewise
    for (const UnitSpec& unit : run.spec().units) {
        if (!std::filesystem::exists(run.run().candidates(unit.name))) {
            throw MissingInputError("run " + run.run().root().string() +
                                    " has no candidates of unit " + unit.name +
                                    " yet: finish it first (lathe resume)");
        }
    }
    nlohmann::json plans = nlohmann::json::array();
    std::string text = "budget                bytes     ratio   KL        perplexity  plan\n";
    for (const Budget& budget : budgets) {
        const std::string name = plan_name(budget, run.context().job.search.speedup);
        SearchResult found = search(run, budget, name);
        const std::optional<RefineReport> refined = refine(run, found, name);
        nlohmann::json plan{{"budget", name},
                            {"budget_bytes", found.limit_bytes},
                            {"predicted_bytes", found.best.plan.predicted_bytes},
                            {"origin", found.best.plan.origin},
                            {"kl", found.best.kl},
                            {"perplexity", found.best.perplexity},
                            {"plan", run.run().plan(name).string()}};
        if (found.speedup > 0.0) {
            plan["speedup"] = found.speedup;
        }
        if (refined) {
            plan["refine"] = {{"plan_kl", refined->plan_kl},
                              {"kl", refined->kl},
                              {"accepted", refined->accepted}};
        }
        if (context.line.assemble) {
            const auto directory = run.run().checkpoint(name);
            plan["checkpoint_hash"] = assemble(run, found, budget, directory);
            plan["checkpoint"] = directory.string();
            plan["checkpoint_bytes"] = directory_bytes(directory);
        }
        text += fmt::format("{:<16} {:>10} {:>7.3f}x  {:<9.5f} {:<11.4f} {}\n", name,
                            found.best.plan.predicted_bytes,
                            static_cast<double>(run.given_model().weights.tensor_bytes()) /
                                static_cast<double>(found.best.plan.predicted_bytes),
                            found.best.kl, found.best.perplexity, found.best.plan.origin);
        plans.push_back(std::move(plan));
    }
    return {nlohmann::json{{"run", run.run().root().string()}, {"plans", plans}}.dump(), text, 0};
}

}  // namespace

CommandOutput run_search(const CommandContext& context) {
    std::vector<Budget> budgets;
    for (const std::string& text : context.line.budgets) {
        budgets.push_back(parse_budget(text));
    }
    set_deadline_of_batch_job();
    const JobConfig job = load_job(context.line);
    CommandOutput output;
    work_on_artifacts(RunDirectory(job.output),
                      [&] { output = search_budgets(context, job, budgets); });
    return output;
}

}  // namespace lathe
