#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "orchestrator/batch/slurm.hpp"

namespace lathe::batch {

/// What was submitted for a run, kept in its directory (slurm/submission.json).
struct Submission {
    std::string job_id;
    std::string budgets_job_id;  ///< of the array over budgets; empty: none
    std::int64_t submitted = 0;  ///< seconds since 1970
    /// Since when Slurm knows nothing of the jobs, seconds since 1970; none: it knows them, or did
    /// when it was last asked.
    std::optional<std::int64_t> absent_since;

    [[nodiscard]] std::vector<std::string> ids() const;
};

/// Names in the folder `slurm` of a run directory.
struct BatchFolder {
    std::filesystem::path root;
    [[nodiscard]] std::filesystem::path submission() const { return root / "submission.json"; }
    [[nodiscard]] std::filesystem::path job() const { return root / "job.yaml"; }
    [[nodiscard]] std::filesystem::path script() const { return root / "job.sh"; }
    [[nodiscard]] std::filesystem::path budgets_script() const { return root / "budgets.sh"; }
    /// Its being there tells the scripts not to put the job back into the queue.
    [[nodiscard]] std::filesystem::path cancelled() const { return root / "cancelled"; }
};

/// None if nothing was submitted. @throws DataError, IoError
[[nodiscard]] std::optional<Submission> read_submission(const BatchFolder& folder);
/// @throws IoError
void write_submission(const BatchFolder& folder, const Submission& submission);

/// A job that Slurm knows nothing of is lost only after so long: squeue may answer from a server
/// that has just been started again.
constexpr std::int64_t lost_after_seconds = 300;

/// What to tell of the jobs of a submission.
struct QueueState {
    QueueAnswer answer;
    bool is_waiting = false;  ///< some job is pending and none runs
    bool is_running = false;
    bool is_lost = false;  ///< unknown to Slurm for long enough
};

/// Asks Slurm. Notes in `submission.absent_since` since when it knows nothing. @param now seconds
/// since 1970
[[nodiscard]] QueueState ask_queue(const Slurm& slurm, Submission& submission, std::int64_t now);

}  // namespace lathe::batch
