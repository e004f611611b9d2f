#pragma once

#include <vector>

#include "lib/config/cluster_config.hpp"
#include "lib/job/run_directory.hpp"
#include "orchestrator/run_schedule.hpp"
#include "orchestrator/simulate/simulation.hpp"

namespace lathe {

/// What a finished run did: its calls with the seconds that its tasks took.
struct RecordedJob {
    RunSchedule schedule;
    std::vector<SimulatedCall> calls;
    /// Seconds of each stage by the clock, as the run took them. Empty if it was resumed: then
    /// nobody measured all of it at once.
    struct Stage {
        std::string name;
        double seconds = 0.0;
    };
    std::vector<Stage> measured;
    /// Whether tasks that wait for other ranks hold that waiting in their seconds.
    [[nodiscard]] bool holds_waiting() const { return schedule.n_ranks > 1; }
};

/// @throws MissingInputError  no run directory, or one of a version that recorded no schedule
/// @throws DataError  the schedule is damaged, or names a task that the journal has no time of
[[nodiscard]] RecordedJob read_recorded_job(const RunDirectory& run);

/// The share of a task for all ranks that they divide, by the work of the run's stage; a guess if
/// the run's model is not there any more.
[[nodiscard]] double divisible_share(const RunDirectory& run);

/// One device as the run found it: FLOP/s of its stages, from the work of its tasks over their
/// seconds. Files count as part of that.
/// @throws UsageError  for a run with stages that are not listed, or on several ranks
[[nodiscard]] ClusterConfig measured_cluster(const RunDirectory& run);

}  // namespace lathe
