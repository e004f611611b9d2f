#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "orchestrator/batch/process.hpp"

namespace lathe::batch {

/// One line of squeue: a job, or a task of an array, or those of its tasks that still wait.
struct QueueEntry {
    std::string id;                     ///< "17", "18_2", "18_[0-2%1]"
    std::string state;                  ///< Slurm's word: "PENDING", "RUNNING", "COMPLETED", ...
    std::string reason;                 ///< why it waits; "None" if it does not
    std::optional<std::int64_t> start;  ///< seconds since 1970; of a job that waits: expected
    std::optional<std::int64_t> end;    ///< as above; at the latest
    int restarts = 0;                   ///< how often it was requeued
    std::string nodes;                  ///< "n[1-4]"; empty before it runs

    /// Whether the job will not change any more. A preempted one comes back.
    [[nodiscard]] bool has_ended() const;
};

/// What Slurm knows of some jobs.
struct QueueAnswer {
    bool answered = false;  ///< else `problem` says what was wrong
    std::string problem;
    /// Jobs it knows, ended ones for some minutes (MinJobAge) too. Empty: it knows none of them.
    std::vector<QueueEntry> entries;
};

/// What the nodes of a partition have. Where they differ, the largest.
struct PartitionLimits {
    std::uint64_t memory_bytes_per_node = 0;
    int processors_per_node = 0;
    int nodes = 0;
    std::optional<int> minutes;  ///< the most a job may ask for; none: no limit
};

/// The batch system, by its commands.
class Slurm {
public:
    explicit Slurm(CommandRunner run) : run_(std::move(run)) {}

    /// Submits a script with further options of sbatch; returns the job's id.
    /// @throws MissingInputError  if there is no sbatch
    /// @throws IoError  if sbatch refuses, with its own words
    [[nodiscard]] std::string submit(const std::string& script,
                                     const std::vector<std::string>& options) const;
    /// Never throws for what squeue does or does not.
    [[nodiscard]] QueueAnswer queue(const std::vector<std::string>& ids) const;
    /// Asks the script of a running job to stop it: USR1. Whether Slurm took it.
    bool ask_to_stop(const std::string& id) const;
    /// Takes a job, or the tasks of an array, out of the queue that do not run yet.
    bool cancel_waiting(const std::string& id) const;
    /// Ends a job, or takes it out of the queue. Whether Slurm took it.
    bool cancel(const std::string& id) const;
    /// When a running job ends at the latest, in seconds since 1970.
    [[nodiscard]] std::optional<std::int64_t> end_of(const std::string& id) const;
    /// Of a partition; empty: of the default one. None if there is no answer.
    [[nodiscard]] std::optional<PartitionLimits> limits(const std::string& partition) const;
    /// Whether srun can start MPI ranks by PMIx; true if it does not say.
    [[nodiscard]] bool has_pmix() const;

private:
    CommandRunner run_;
};

/// "1-02:03:04", "02:03:04", "10:30", "45" as Slurm writes and reads them: minutes, rounded up.
/// None: unlimited, or no time.
[[nodiscard]] std::optional<int> minutes_in(const std::string& text);
/// The same the other way: "1-02:03:00".
[[nodiscard]] std::string time_text(int minutes);

}  // namespace lathe::batch
