#pragma once

#include <functional>
#include <string>
#include <vector>

#include "orchestrator/job_run.hpp"
#include "workers/chain/stream_files.hpp"

namespace lathe {

/// Runs a chain of tasks (workers/chain/chain.hpp), one for each block and the last for what
/// follows, as (part of) stage `name`. It begins before the first task that is not done, or the
/// nearest block before it whose streams are stored. `fingerprint` is that of the streams;
/// `in_files`: StoredStreams::in_files. `arguments(block, streams)` are those of the block's task.
/// At the end no stream is left.
void run_chain(
    JobRun& run, const std::string& name, std::vector<StageTask> tasks,
    const std::string& fingerprint, bool in_files,
    const std::function<std::string(std::size_t block, const StoredStreams& streams)>& arguments);

/// The first that is not done; their number if all are.
[[nodiscard]] std::size_t first_open_task(const JobRun& run, const std::vector<StageTask>& tasks);

}  // namespace lathe
