#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "lib/job/task.hpp"
#include "orchestrator/simulate/simulated_ranks.hpp"

namespace lathe {

/// A task and what it costs. Ranks of a pipeline are set when it is handed out.
struct SimulatedTask {
    Task task;
    TaskCost cost;
};

/// Tasks that a stage hands to the coordinator at once, and what rank 0 does by itself after them.
struct SimulatedCall {
    std::string stage;
    std::vector<SimulatedTask> tasks;
    bool is_pipeline = false;  ///< tasks are its links, in order
    double serial_seconds = 0.0;
};

/// What happens to the ranks from outside.
struct SimulatedWorld {
    int n_ranks = 1;
    /// Ranks that are lost in an hour, of all together; at random times, the same each time.
    double lost_per_hour = 0.0;
    /// Seconds between two stops of the whole job by a signal, of which it hears when it comes.
    double preempt_every = 0.0;
    /// From a stop until the job is started again, all ranks there.
    double restart_seconds = 60.0;
    double worker_timeout_seconds = 600.0;  ///< runtime.worker_timeout
    std::uint64_t seed = 0;
};

/// What became of a stage.
struct SimulatedStage {
    std::string name;
    std::size_t tasks = 0;
    double seconds = 0.0;  ///< by the clock, stops and new starts in it included
    double work = 0.0;     ///< seconds of its tasks on one rank
    double busy = 0.0;     ///< seconds in which ranks computed, over all of them
    double lost = 0.0;     ///< of these, for tasks that came to no end
    /// What no number of ranks can go below, with these tasks.
    double critical_path = 0.0;
    std::string longest_task;
    double longest_seconds = 0.0;
};

struct Simulation {
    int n_ranks = 1;
    double seconds = 0.0;
    double critical_path = 0.0;
    double work = 0.0;  ///< seconds that one rank would need
    double busy = 0.0;
    std::size_t starts = 1;
    std::size_t ranks_lost = 0;
    std::size_t preemptions = 0;
    std::vector<SimulatedStage> stages;
    std::vector<RankSpan> spans;
    /// One rank's seconds over those of all ranks together.
    [[nodiscard]] double efficiency() const {
        return seconds > 0.0 ? work / (n_ranks * seconds) : 1.0;
    }
    [[nodiscard]] double utilisation() const {
        return seconds > 0.0 ? busy / (n_ranks * seconds) : 1.0;
    }
};

/// Seconds that one rank needs for the calls of a stage; of all of them if there is no name.
[[nodiscard]] double one_rank_seconds(const std::vector<SimulatedCall>& calls,
                                      const std::string& stage = "");

/// Runs the calls one after another: the coordinator's code, on simulated ranks. A job that is
/// stopped is started again and continues, as a batch system would have it. What a stop leaves of a
/// pipeline is taken to be stored at each finished block.
/// @throws InfeasibleError  if nothing is ever finished between two stops
[[nodiscard]] Simulation simulate(const std::vector<SimulatedCall>& calls,
                                  const SimulatedWorld& world);

}  // namespace lathe
