#include <fmt/format.h>

#include "orchestrator/commands.hpp"
#include "orchestrator/job.hpp"
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
    const JobReport report =
        run_job(job, context.world, context.coordinator,
                [&](const RunDirectory& run) { context.progress.set_status_file(run.status()); });
    return {to_json(report), report_text(report), 0};
}

}  // namespace lathe
