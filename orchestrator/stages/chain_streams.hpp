#pragma once

#include <string>
#include <vector>

#include "orchestrator/job_run.hpp"
#include "workers/chain/stream_files.hpp"

namespace lathe {

/// Where a chain of tasks (workers/chain/chain.hpp), one for each block and the last for what
/// follows, begins: before the first that is not done, or the nearest block before it whose streams
/// are stored. What else is stored of the chain is removed. `fingerprint` is that of its streams.
[[nodiscard]] StoredStreams find_streams(const JobRun& run, const std::string& fingerprint,
                                         const std::vector<StageTask>& tasks);

/// After the last task: the streams are of no more use.
void remove_streams(const JobRun& run, const StoredStreams& streams);

}  // namespace lathe
