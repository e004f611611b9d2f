#include <fmt/format.h>

#include "lib/core/log.hpp"
#include "orchestrator/commands.hpp"
#include "orchestrator/damaged_artifacts.hpp"
#include "orchestrator/exporting.hpp"
#include "orchestrator/job.hpp"
#include "orchestrator/job_end.hpp"
#include "orchestrator/ranks_text.hpp"
#include "orchestrator/stop_request.hpp"

namespace lathe {

namespace {

std::string report_text(const JobReport& report) {
    std::string text = fmt::format(
        "\ncheckpoint        {}\nhash              {}\nplan              {}\n"
        "bytes             {} -> {}\nratio             {:.3f}x\nbits per weight   {:.3f}\n",
        report.checkpoint.string(), report.checkpoint_hash, report.plan.plan.origin,
        report.source_bytes, report.checkpoint_bytes, report.ratio(), report.bits_per_weight());
    if (report.speedup > 0.0) {
        text += fmt::format("speedup           {:.2f}x, products of the weights\n", report.speedup);
    }
    text += to_text(report.evaluation);
    for (const ExportReport& exported : report.exports) {
        text += export_text(exported.directory, exported.summary);
    }
    text += fmt::format("report            {}\n", RunDirectory(report.run).page().string());
    text += "stage             seconds  tasks  reused\n";
    for (const StageReport& stage : report.stages) {
        text += fmt::format("  {:<14} {:>9.2f} {:>6} {:>7}\n", stage.name, stage.seconds,
                            stage.tasks, stage.tasks_reused);
    }
    return text;
}

}  // namespace

CommandOutput run_run(const CommandContext& context) {
    const JobConfig job = load_job(context.line);
    if (job.runtime.max_walltime > 0.0) {
        StopRequest::set_deadline(job.runtime.max_walltime, fmt::format("runtime.max_walltime={:g}",
                                                                        job.runtime.max_walltime));
    }
    set_deadline_of_batch_job();
    const auto& places = context.world.places();
    log_info("start where=\"" + ranks_text(places, job.runtime.backend, job.runtime.threads) +
             "\"");
    if (const auto slow = slow_ranks_text(places, job.runtime.threads); !slow.empty()) {
        log_warning("ranks_are_slow reason=\"" + slow + "\"");
    }
    JobReport report;
    work_on_artifacts(RunDirectory(job.output), [&] {
        const auto on_open = [&](const RunDirectory& run, const Preflight& plan) {
            context.progress.set_status_file(run.status());
            std::vector<JobEstimate::Stage> stages;
            for (const Preflight::Stage& stage : plan.stages) {
                stages.push_back({stage.name, stage.seconds});
            }
            context.progress.set_plan(std::move(stages));
            log_to_file(run.log(context.world.rank()));
        };
        report = run_job(job, context.world, context.coordinator, on_open);
    });
    return {to_json(report), report_text(report), 0};
}

}  // namespace lathe
