#pragma once

#include <string>
#include <vector>

#include "orchestrator/simulate/recorded_job.hpp"
#include "orchestrator/simulate/simulated_job.hpp"
#include "orchestrator/simulate/simulation.hpp"

namespace lathe {

/// What a simulation came to, and what it was made from.
struct SimulationReport {
    std::string subject;  ///< the model, job or run
    std::string costs;    ///< where the seconds of tasks come from
    Simulation simulation;
    std::vector<StageDemand> demands;            ///< of a job on a cluster; else empty
    std::vector<RecordedJob::Stage> measured{};  ///< of a run
    int measured_ranks = 0;
    /// What another number of ranks would bring.
    struct Other {
        int n_ranks = 0;
        double seconds = 0.0;
        double efficiency = 0.0;
    };
    std::vector<Other> others{};
    std::vector<std::string> notes{};
};

/// One JSON object; with `ranks`, `efficiency`, `seconds`, `critical_path` (seconds), `stages`.
[[nodiscard]] std::string to_json(const SimulationReport& report);
[[nodiscard]] std::string to_text(const SimulationReport& report);

}  // namespace lathe
