#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "orchestrator/batch/slurm.hpp"

namespace lathe::batch {

/// What a job needs, from its plan.
struct Demand {
    std::uint64_t memory_bytes_per_rank = 0;
    std::uint64_t disk_bytes = 0;  ///< that the run directory will take in all
    std::uint64_t disk_there = 0;  ///< of it, what is there already
    /// Seconds that one rank would take with one thread; none if the plan cannot say, as for a
    /// device that is not here.
    std::optional<double> thread_seconds;
    /// Of the stage that takes longest: more ranks than this find no work. 0: not known.
    std::size_t tasks = 0;
};

/// What a user asks for; 0 and none: not said.
struct Wishes {
    int nodes = 0;
    int ntasks_per_node = 0;
    int cpus_per_task = 0;
    int gpus_per_node = 0;
    std::optional<int> minutes;
    std::uint64_t memory_bytes_per_node = 0;
    std::string partition;
};

/// What to ask of Slurm.
struct Resources {
    int nodes = 1;
    int ntasks_per_node = 1;
    int cpus_per_task = 0;  ///< 0: the template's
    int gpus_per_node = 0;  ///< 0: none
    int minutes = 0;
    std::uint64_t memory_bytes_per_node = 0;
    std::optional<double> seconds;     ///< how long the job will take by the plan
    std::vector<std::string> remarks;  ///< what the user should know, in sentences
};

/// Fills in what the user leaves open. Nodes: as many as it takes, by the plan and with a margin,
/// to end within the time given, else within what the partition allows, a day at most. `limits`:
/// what the partition has, if it is known; `free_disk_bytes`: in the file system of the run
/// directory.
/// @throws UsageError  if the time cannot be told and is not given
/// @throws InfeasibleError  if memory, disk or nodes do not suffice, with both figures
[[nodiscard]] Resources choose_resources(const Demand& demand, const Wishes& wishes,
                                         const std::optional<PartitionLimits>& limits,
                                         std::uint64_t free_disk_bytes);

/// A node's memory as Slurm writes it: "350G", "4000M", "4000" (of MiB). @throws UsageError
[[nodiscard]] std::uint64_t memory_in(const std::string& text);

}  // namespace lathe::batch
