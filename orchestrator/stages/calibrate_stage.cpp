#include "orchestrator/stages.hpp"
#include "workers/calibration.hpp"
#include "workers/task_table.hpp"

namespace lathe {

namespace {

std::string place_name(const ModelSpec& spec, std::size_t block) {
    return block < spec.n_blocks ? block_name(block) : "head";
}

/// The block to begin at: where the latest usable stream is stored, else the first.
std::size_t first_block(const JobRun& run, std::size_t first_open) {
    for (std::size_t b = first_open; b > 0; --b) {
        std::error_code ignored;
        if (std::filesystem::exists(run.run().stream(b), ignored)) {
            return b;
        }
    }
    return 0;
}

}  // namespace

void calibrate(JobRun& run) {
    const ModelSpec& spec = run.spec();
    std::vector<StageTask> all;
    for (std::size_t b = 0; b <= spec.n_blocks; ++b) {
        const std::string name = place_name(spec, b);
        StageTask task;
        task.task.stage = stage::calibrate;
        task.task.id = "calibrate/" + name;
        task.artifact = run.run().statistics(name);
        task.fingerprint = run.fingerprint({task.task.id});
        all.push_back(std::move(task));
    }
    std::size_t first_open = 0;
    while (first_open < all.size() && run.is_done(all[first_open])) {
        ++first_open;
    }
    if (first_open == all.size()) {
        run.run_stage(stage::calibrate, std::move(all));
        return;
    }
    // The ranks take blocks in turn, so neighbours work side by side. Blocks before the first open
    // one that have to be passed again only pass the stream on; they are not tasks of their own
    // account, but of this run.
    const std::size_t begin = first_block(run, first_open);
    const int n_ranks = run.n_ranks();
    const auto rank_of = [&](std::size_t b) {
        return static_cast<int>((b - begin) % static_cast<std::size_t>(n_ranks));
    };
    std::vector<StageTask> tasks(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(begin));
    for (std::size_t b = begin; b < all.size(); ++b) {
        CalibrationTask calibration;
        calibration.block = b;
        calibration.from = b == begin ? -1 : rank_of(b - 1);
        calibration.to = b + 1 == all.size() ? -1 : rank_of(b + 1);
        calibration.accumulate = !run.is_done(all[b]);
        calibration.stored_stream = b == begin && b > 0;
        calibration.fingerprint = all[b].fingerprint;
        StageTask task = all[b];
        if (!calibration.accumulate) {  // done, but needed as a link of the pipeline
            task.task.id = "pass/" + place_name(spec, b);
            task.artifact.clear();
        }
        task.task.arguments = to_json(calibration);
        task.task.rank = rank_of(b);
        tasks.push_back(std::move(task));
    }
    run.run_stage(stage::calibrate, std::move(tasks));
    for (std::size_t b = 0; b <= spec.n_blocks; ++b) {
        std::error_code ignored;
        std::filesystem::remove(run.run().stream(b), ignored);
    }
}

}  // namespace lathe
