#include "orchestrator/stages/chain_stage.hpp"

#include <algorithm>
#include <filesystem>

#include "lib/job/task.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

/// Where the chain begins. What else is stored of it is removed.
StoredStreams find_streams(const JobRun& run, const std::string& fingerprint,
                           const std::vector<StageTask>& tasks) {
    const std::size_t n_parts = SampleShare::n_parts(run.samples().calibration);
    StoredStreams streams{
        fingerprint,
        last_stored_block(run.run(), fingerprint, n_parts, first_open_task(run, tasks)), false};
    std::error_code ignored;
    for (const auto& entry :
         fs::directory_iterator(run.run().chain_streams(fingerprint), ignored)) {
        if (!streams.block ||
            entry.path() != run.run().chain_streams(fingerprint, *streams.block)) {
            fs::remove_all(entry.path(), ignored);
        }
    }
    return streams;
}

}  // namespace

std::size_t first_open_task(const JobRun& run, const std::vector<StageTask>& tasks) {
    const auto open =
        std::ranges::find_if(tasks, [&](const StageTask& task) { return !run.is_done(task); });
    return static_cast<std::size_t>(open - tasks.begin());
}

void run_chain(
    JobRun& run, const std::string& name, std::vector<StageTask> tasks,
    const std::string& fingerprint, bool in_files,
    const std::function<std::string(std::size_t block, const StoredStreams& streams)>& arguments) {
    StoredStreams streams = find_streams(run, fingerprint, tasks);
    streams.in_files = in_files;
    for (std::size_t b = 0; b < tasks.size(); ++b) {
        tasks[b].task.rank = all_ranks;
        tasks[b].task.arguments = arguments(b, streams);
    }
    run.run_stage(name, std::move(tasks));
    std::error_code ignored;
    const fs::path folder = run.run().chain_streams(fingerprint);
    fs::remove_all(folder, ignored);
    fs::remove(folder.parent_path(), ignored);  // if empty
}

}  // namespace lathe
