#pragma once

#include <vector>

#include "lib/config/cluster_config.hpp"
#include "orchestrator/estimate/job_work.hpp"
#include "orchestrator/simulate/simulation.hpp"

namespace lathe {

/// The calls of a job on so many devices of a cluster, the first nodes of it filled one after
/// another (more of the same kind, if it has fewer), with seconds for their work.
[[nodiscard]] std::vector<SimulatedCall> calls_on(const std::vector<WorkCall>& job,
                                                  const ClusterConfig& cluster, int n_ranks);

/// What one stage asks of the machines, beside time.
struct StageDemand {
    std::string stage;
    double rank_bytes = 0.0;  ///< memory of a rank
    double disk_bytes = 0.0;  ///< that it writes
    double messages = 0.0;    ///< between ranks, those of the coordinator not counted
    double message_bytes = 0.0;
    Certainty certainty = Certainty::measured;  ///< of its seconds
};
/// In the order of the stages.
[[nodiscard]] std::vector<StageDemand> demands_of(const std::vector<WorkCall>& job,
                                                  const ClusterConfig& cluster, int n_ranks);

}  // namespace lathe
