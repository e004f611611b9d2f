#include "lib/checkpoint/artifact.hpp"
#include "lib/core/file.hpp"
#include "orchestrator/estimate/memory_estimate.hpp"
#include "orchestrator/stages.hpp"
#include "orchestrator/stages/chain_stage.hpp"
#include "orchestrator/stages/task_lists.hpp"
#include "workers/calibration/calibration.hpp"
#include "workers/slicing/rotation.hpp"
#include "workers/task_table.hpp"

namespace lathe {

namespace {

/// "calibrate/", of later sweeps "calibrate/sweep_1/".
std::string sweep_id(const std::string& stage, std::size_t sweep) {
    return stage + "/" + (sweep == 0 ? "" : "sweep_" + std::to_string(sweep) + "/");
}

/// What statistics depend on beside the model and the samples.
std::vector<std::string> measurement_parts(const JobRun& run, const std::string& id,
                                           const std::vector<std::size_t>& widths) {
    // The second part stands for the layout of the artifact.
    std::vector<std::string> parts{id, "triangles"};
    const auto& slice = run.given_context().job.slice;
    if (slice) {
        parts.push_back(run.given_context().gathers_inputs() ? "norms fused" : "streams only");
        parts.push_back(std::to_string(static_cast<int>(slice->signal)));
        for (const std::size_t width : widths) {
            parts.push_back(std::to_string(width));
        }
    }
    if (run.given_context().orders_neurons()) {
        parts.emplace_back("neurons ranked");
    }
    if (run.given_context().weighs_tokens()) {
        parts.push_back("tokens weighed, seed " + std::to_string(run.given_context().job.seed));
    }
    return parts;
}

/// Of the stream before a block in a sweep.
std::string stream_fingerprint(const JobRun& run, std::size_t sweep,
                               const std::vector<std::size_t>& widths, std::size_t block) {
    return run.given_fingerprint(measurement_parts(
        run, sweep_id("stream", sweep) + place_name(block, run.given_model().spec.n_blocks),
        widths));
}

/// The block to begin at: where the latest usable stream is stored, else the first.
std::size_t first_block(const JobRun& run, std::size_t sweep,
                        const std::vector<std::size_t>& widths, std::size_t first_open) {
    for (std::size_t b = first_open; b > 0; --b) {
        if (has_fingerprint(run.run().stream(b, sweep),
                            stream_fingerprint(run, sweep, widths, b))) {
            return b;
        }
    }
    return 0;
}

}  // namespace

void calibrate(JobRun& run) {
    calibrate_sweep(run, 0, {});
}

void calibrate_sweep(JobRun& run, std::size_t sweep, const std::vector<std::size_t>& widths) {
    const ModelSpec& spec = run.given_model().spec;
    make_directories(run.run().calibration(sweep));
    std::vector<StageTask> all;
    const std::size_t n_places = spec.n_blocks + (reads_stream_end(run.given_context()) ? 1 : 0);
    for (std::size_t b = 0; b < n_places; ++b) {
        const std::string name = place_name(b, spec.n_blocks);
        StageTask task;
        task.task.stage = stage::calibrate;
        task.task.id = sweep_id("calibrate", sweep) + name;
        task.artifact = run.run().statistics(name, sweep);
        task.fingerprint = run.given_fingerprint(measurement_parts(run, task.task.id, widths));
        all.push_back(std::move(task));
    }
    const std::size_t first_open = first_open_task(run, all);
    if (first_open == all.size()) {
        run.run_stage(stage::calibrate, std::move(all));
        return;
    }
    // Blocks before the first open one that have to be passed again only pass the stream on; they
    // are not tasks of their own account, but of this run.
    const std::size_t begin = first_block(run, sweep, widths, first_open);
    const std::filesystem::path passing = run.run().passing_streams(sweep);
    std::error_code ignored;
    std::filesystem::remove_all(passing, ignored);  // what a killed run has left
    const bool in_files = rank_memory_of(run.given_context()).calibrate().in_files;
    if (in_files) {
        make_directories(passing);
    }
    std::vector<StageTask> tasks(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(begin));
    for (const PipelineLink& link : pipeline_links(begin, all.size(), run.n_ranks())) {
        const std::size_t b = link.block;
        CalibrationTask calibration;
        calibration.block = b;
        calibration.from = link.from;
        calibration.to = link.to;
        calibration.accumulate = !run.is_done(all[b]);
        calibration.stored_stream = b == begin && b > 0;
        calibration.in_files = in_files;
        calibration.fingerprint = all[b].fingerprint;
        calibration.stream_fingerprint = stream_fingerprint(run, sweep, widths, b);
        calibration.next_stream_fingerprint = stream_fingerprint(run, sweep, widths, b + 1);
        calibration.sweep = sweep;
        calibration.widths = widths;
        StageTask task = all[b];
        if (!calibration.accumulate) {  // done, but needed as a link of the pipeline
            task.task.id = sweep_id("pass", sweep) + place_name(b, spec.n_blocks);
            task.artifact.clear();
        }
        task.task.arguments = to_json(calibration);
        task.task.rank = link.rank;
        tasks.push_back(std::move(task));
    }
    run.run_stage(stage::calibrate, std::move(tasks));
    std::filesystem::remove_all(passing, ignored);
    for (std::size_t b = 0; b <= spec.n_blocks; ++b) {
        std::filesystem::remove(run.run().stream(b, sweep), ignored);
    }
}

}  // namespace lathe
