#include "orchestrator/job.hpp"

#include <algorithm>

#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "lib/core/log.hpp"
#include "lib/job/serve_targets.hpp"
#include "orchestrator/exporting.hpp"
#include "orchestrator/report/page.hpp"

namespace lathe {

JobReport run_job(const JobConfig& job, comm::Communicator& world, Coordinator& coordinator,
                  const std::function<void(const RunDirectory&, const Preflight&)>& on_open) {
    auto context = JobContext::open(job, world);
    const JobQuestions questions = check_inputs(*context);
    const Preflight before = preflight(*context, questions);
    require_feasible(before, job.budget);
    require_memory(before);
    JobRun run(std::move(context), coordinator);
    if (on_open) {
        on_open(run.run(), before);
    }
    JobReport report;
    if (job.slice) {
        report.slice = slice(run);
    } else {
        weigh_tokens(run);
        calibrate(run);
    }
    order_neurons(run);
    if (run.context().orders_neurons()) {
        report.neurons = read_concentration(run.run());
    }
    compress(run);
    SearchResult found = search(run, job.budget);
    report.refine = refine(run, found);
    report.run = run.run().root();
    report.checkpoint = run.run().checkpoint();
    report.parameters = run.given_model().spec.parameters();
    report.source_bytes = run.given_model().weights.tensor_bytes();
    report.plan = found.best;
    report.speedup = found.speedup;
    report.checkpoint_hash = assemble(run, found, job.budget, report.checkpoint);
    verify(run, report.checkpoint);
    report.checkpoint_bytes = directory_bytes(report.checkpoint);
    report.evaluation = evaluate(run, questions, found, report.checkpoint);
    report.exports = export_checkpoint(run, report.checkpoint);
    report.serve = job.serve;
    report.stages = run.stages();
    report.tensors = coverage(run.context());
    write_file(run.run().report(), to_json(report) + "\n");
    try {
        report::write_report(run.run(), run.run().page(), /*at_end=*/true);
    } catch (const std::exception& error) {  // the job is done all the same
        log_warning(std::string("page_not_written reason=\"") + error.what() + "\"");
    }
    return report;
}

namespace {

/// What the budget was for: the export of the program that is served.
nlohmann::json serve_json(const JobReport& report) {
    const std::string_view format = find_serve_target(report.serve->reader)->format;
    const auto exported = std::ranges::find(report.exports, format, &ExportReport::format);
    const std::uint64_t bytes = exported->summary.total_bytes;
    return {{"reader", report.serve->reader},
            {"format", format},
            {"directory", exported->directory.string()},
            {"predicted_bytes", report.plan.plan.predicted_bytes},
            {"bytes", bytes},
            {"bits_per_weight",
             8.0 * static_cast<double>(bytes) / static_cast<double>(report.parameters)}};
}

}  // namespace

std::string to_json(const JobReport& report) {
    using nlohmann::json;
    json stages = json::array();
    for (const StageReport& stage : report.stages) {
        stages.push_back({{"name", stage.name},
                          {"seconds", stage.seconds},
                          {"tasks", stage.tasks},
                          {"tasks_reused", stage.tasks_reused}});
    }
    json result{{"status", "done"},
                {"run", report.run.string()},
                {"checkpoint", report.checkpoint.string()},
                {"parameters", report.parameters},
                {"source_bytes", report.source_bytes},
                {"checkpoint_bytes", report.checkpoint_bytes},
                {"ratio", report.ratio()},
                {"bits_per_weight", report.bits_per_weight()},
                {"plan_origin", report.plan.plan.origin},
                {"selection_kl", report.plan.kl},
                {"evaluation", to_json(report.evaluation)},
                {"stages", stages},
                {"tensors", parse_json(to_json(report.tensors))},
                {"checkpoint_hash", report.checkpoint_hash}};
    if (report.speedup > 0.0) {
        result["speedup"] = report.speedup;
    }
    if (report.refine) {
        result["refine"] = {{"plan_kl", report.refine->plan_kl},
                            {"kl", report.refine->kl},
                            {"accepted", report.refine->accepted}};
    }
    for (const ExportReport& exported : report.exports) {
        result["exports"][exported.format] = export_json(exported.directory, exported.summary);
    }
    if (report.serve) {
        result["serve"] = serve_json(report);
    }
    if (!report.neurons.empty()) {
        result["neurons"] = to_json(report.neurons);
    }
    if (report.slice) {
        result["slice"] = {{"widths", report.slice->widths},
                           {"parameters", report.slice->parameters}};
        for (const ConsideredWidths& considered : report.slice->considered) {
            result["slice"]["considered"].push_back({{"name", considered.name},
                                                     {"divergence", considered.divergence},
                                                     {"widths", considered.widths}});
        }
    }
    return result.dump();
}

}  // namespace lathe
