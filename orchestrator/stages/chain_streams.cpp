#include "orchestrator/stages/chain_streams.hpp"

#include <filesystem>

namespace lathe {
namespace fs = std::filesystem;

StoredStreams find_streams(const JobRun& run, const std::string& fingerprint,
                           const std::vector<StageTask>& tasks) {
    std::size_t first_open = 0;
    while (first_open < tasks.size() && run.is_done(tasks[first_open])) {
        ++first_open;
    }
    const std::size_t n_parts = SampleShare::n_parts(run.samples().calibration);
    StoredStreams streams{fingerprint,
                          last_stored_block(run.run(), fingerprint, n_parts, first_open)};
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

void remove_streams(const JobRun& run, const StoredStreams& streams) {
    std::error_code ignored;
    fs::remove_all(run.run().chain_streams(streams.fingerprint), ignored);
    fs::remove(run.run().chain_streams(streams.fingerprint).parent_path(), ignored);  // if empty
}

}  // namespace lathe
