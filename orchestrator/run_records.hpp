#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "lib/job/run_directory.hpp"
#include "orchestrator/running_task.hpp"

namespace lathe {

/// manifest.json: what a run was begun with.
struct RunManifest {
    std::string model_fingerprint;
    std::string samples_fingerprint;
    /// Empty where the file names none, as one of another version may.
    std::string program_version;
    std::string instruction_set;
    bool operator==(const RunManifest&) const = default;
};

[[nodiscard]] std::string to_json(const RunManifest& manifest);
/// @throws DataError  if it is damaged: no JSON, or without the fingerprints
/// @throws IoError, MissingInputError
[[nodiscard]] RunManifest read_manifest(const std::filesystem::path& file);

/// status.json: how far a run is, for whoever watches.
struct RunStatus {
    std::string status = "stopped";
    std::string stage;
    std::uint64_t tasks_done = 0;
    std::uint64_t tasks_total = 0;
    double eta_seconds = 0.0;
    int ranks = 0;
    std::string at_work;  ///< running_text() of the tasks that ranks have
    /// Of the whole job, by its plan as corrected so far (JobEstimate); 0: not known.
    double job_eta_seconds = 0.0;
    double job_share = 0.0;              ///< of its time that is over, 0 to 1
    std::vector<RunningTask> running{};  ///< at most `most_running`, the longest at work first
    std::vector<int> lost{};             ///< ranks
    double written = 0.0;                ///< seconds since 1970; 0: by a version that did not say
    static constexpr std::size_t most_running = 4096;
    bool operator==(const RunStatus&) const = default;
};

[[nodiscard]] std::string to_json(const RunStatus& status);
/// A courtesy to readers: what is missing, damaged or makes no sense counts as not said.
[[nodiscard]] RunStatus read_status_file(const std::filesystem::path& file);
/// What ranks had when the file was written, if it says that the run works: as it stands or, where
/// nobody holds the run's lock, when the program was killed. Who ends in good order empties it.
[[nodiscard]] std::vector<UnfinishedTask> tasks_at_work(const RunStatus& written,
                                                        const std::string& why);
/// The same, corrected by what the lock says: a killed process leaves "running". @throws IoError
[[nodiscard]] RunStatus read_live_status(const RunDirectory& run);

}  // namespace lathe
