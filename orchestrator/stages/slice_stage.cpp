#include <algorithm>

#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "orchestrator/estimate/memory_estimate.hpp"
#include "orchestrator/stages.hpp"
#include "orchestrator/stages/chain_stage.hpp"
#include "orchestrator/stages/slice_widths.hpp"
#include "workers/model/fused_weights.hpp"
#include "workers/slicing/rotation.hpp"
#include "workers/slicing/sequential_rotation.hpp"
#include "workers/slicing/slice_refit.hpp"
#include "workers/slicing/sliced_model.hpp"
#include "workers/slicing/slicing.hpp"
#include "workers/slicing/stream_widths.hpp"
#include "workers/task_table.hpp"

namespace lathe {

namespace {

const SliceConfig& settings(const JobRun& run) {
    return *run.given_context().job.slice;
}

std::string text_of(const std::vector<std::size_t>& widths) {
    std::string text;
    for (const std::size_t width : widths) {
        text += (text.empty() ? "" : ",") + std::to_string(width);
    }
    return text;
}

/// What the rotations of a sweep depend on beside the model and the samples. Those of the first
/// sweep in dense order do not depend on any width.
std::string rotation_key(const JobRun& run, std::size_t sweep,
                         const std::vector<std::size_t>& widths) {
    const SliceConfig& slice = settings(run);
    const bool depends = slice.touch_up > 0 || slice.order == SliceConfig::Order::sequential;
    return std::to_string(static_cast<int>(slice.rotation)) + " " +
           std::to_string(static_cast<int>(slice.order)) + " " +
           std::to_string(static_cast<int>(slice.signal)) + " sweep " + std::to_string(sweep) +
           (depends ? " " + text_of(widths) : "");
}

/// Names of the places whose rotations are found: blocks, the end if it is cut; or one for all.
std::vector<std::string> rotated_places(const JobRun& run) {
    if (settings(run).is_global()) {
        return {"global"};
    }
    const ModelSpec& spec = fused_spec(run);
    std::vector<std::string> places;
    for (std::size_t b = 0; b < n_boundaries(spec); ++b) {
        const BoundaryPlace place = boundary_place(spec, b);
        if (place.step == 0 && is_rotated(settings(run), spec, b)) {
            places.push_back(place.name);
        }
    }
    return places;
}

void rotate(JobRun& run, std::size_t sweep, const std::vector<std::size_t>& widths,
            const std::vector<double>& effects = {}) {
    std::vector<StageTask> tasks;
    for (const std::string& place : rotated_places(run)) {
        StageTask task;
        task.task.stage = stage::rotate;
        task.task.id = "rotate/sweep_" + std::to_string(sweep) + "/" + place;
        task.artifact = run.run().rotation(place, sweep);
        task.fingerprint = run.given_fingerprint({task.task.id, rotation_key(run, sweep, widths)});
        task.task.arguments = to_json(RotationTask{place, sweep, task.fingerprint, effects});
        make_directories(task.artifact.parent_path());
        tasks.push_back(std::move(task));
    }
    run.run_stage("rotate", std::move(tasks));
}

std::vector<std::size_t> measure_dense(JobRun& run, std::vector<ConsideredWidths>& considered) {
    calibrate(run);
    rotate(run, 0, {});
    if (last_rotation(settings(run)) > last_sweep(settings(run))) {
        rotate(run, 1, {}, measure_single_cuts(run));
    }
    const std::vector<std::size_t> widths = choose_widths(run, considered);
    for (std::size_t sweep = 1; sweep <= last_sweep(settings(run)); ++sweep) {
        calibrate_sweep(run, sweep, widths);
        rotate(run, sweep, widths);
    }
    return widths;
}

/// A chain: each block's task needs the stream that the one before leaves. All ranks take it
/// together, each with its share of the samples.
std::vector<std::size_t> measure_in_order(JobRun& run) {
    const std::vector<std::size_t> widths = constant_widths(run.given_model(), settings(run));
    const ModelSpec& spec = fused_spec(run);
    std::vector<StageTask> tasks;
    for (std::size_t b = 0; b <= spec.n_blocks; ++b) {
        const std::string place = place_name(b, spec.n_blocks);
        const std::string key = rotation_key(run, 0, widths);
        StageTask task;
        task.task.stage = stage::rotate_in_order;
        task.task.id = "rotate_in_order/" + place;
        task.artifact = run.run().statistics(place, 0);
        if (is_rotated(settings(run), spec, b * spec.steps_per_block())) {  // the head may not be
            task.second_artifact = run.run().rotation(place, 0);
        }
        std::vector<std::string> parts{task.task.id, key, "triangles"};
        if (run.given_context().orders_neurons()) {
            parts.emplace_back("neurons ranked");
        }
        task.fingerprint = run.given_fingerprint(parts);
        make_directories(run.run().rotation(place, 0).parent_path());
        tasks.push_back(std::move(task));
    }
    run_chain(run, "rotate", tasks,
              run.given_fingerprint({"streams", rotation_key(run, 0, widths)}),
              rank_memory_of(run.given_context()).rotate_in_order().in_files,
              [&](std::size_t b, const StoredStreams& streams) {
                  const std::string& fingerprint = tasks[b].fingerprint;
                  return to_json(SequentialTask{b, widths, fingerprint, fingerprint, streams});
              });
    return widths;
}

/// A chain like measure_in_order().
void refit(JobRun& run, const std::vector<std::size_t>& widths, const std::string& identity) {
    const ModelSpec& spec = fused_spec(run);
    std::vector<StageTask> tasks;
    for (std::size_t b = 0; b <= spec.n_blocks; ++b) {
        const std::string place = boundary_place(spec, b * spec.steps_per_block()).name;
        StageTask task;
        task.task.stage = stage::refit;
        task.task.id = "refit/" + identity + "/" + place;
        task.artifact = run.run().slice_fit(place);
        task.fingerprint = run.given_fingerprint({task.task.id});
        make_directories(task.artifact.parent_path());
        tasks.push_back(std::move(task));
    }
    run_chain(run, "refit", tasks, run.given_fingerprint({"streams", "refit", identity}),
              rank_memory_of(run.given_context()).refit_slices().in_files,
              [&](std::size_t b, const StoredStreams& streams) {
                  return to_json(RefitTask{b, widths, tasks[b].fingerprint, streams});
              });
}

/// One task a file of the sliced model.
void write_sliced_model(JobRun& run, const std::vector<std::size_t>& widths,
                        const std::string& identity) {
    make_directories(run.run().sliced());
    std::vector<StageTask> tasks;
    const ModelSpec& spec = fused_spec(run);
    for (std::size_t file = 0; file <= spec.n_blocks; ++file) {
        const auto block = file == 0 ? std::nullopt : std::optional(file - 1);
        StageTask task;
        task.task.stage = stage::slice;
        task.task.id = "slice/" + identity + "/" + sliced_file(spec, block);
        task.task.arguments = to_json(SliceTask{block, widths});
        task.artifact = run.run().sliced() / sliced_file(spec, block);
        tasks.push_back(std::move(task));
    }
    run.run_stage("slice", std::move(tasks));
    run.time_stage("slice", [&] { write_sliced_frame(run.given_context(), widths); });
}

}  // namespace

SliceReport slice(JobRun& run) {
    const SliceConfig& slice = settings(run);
    const bool in_order = slice.order == SliceConfig::Order::sequential;
    SliceReport report;
    report.widths = in_order ? measure_in_order(run) : measure_dense(run, report.considered);
    const bool shares = shares_table(run.given_model().spec, slice);
    const std::string identity = run.given_fingerprint(
        {shares ? "slice around one table" : "slice",
         rotation_key(run, last_rotation(slice), report.widths), text_of(report.widths),
         std::to_string(static_cast<int>(slice.orientation)), slice.head ? "head" : "",
         slice.refit ? "refit" : "", std::to_string(run.given_context().job.seed)});
    if (slice.refit) {
        refit(run, report.widths, identity);
    }
    write_sliced_model(run, report.widths, identity);
    run.take_sliced_model(identity);
    report.parameters = run.spec().parameters();
    return report;
}

}  // namespace lathe
