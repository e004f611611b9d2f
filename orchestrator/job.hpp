#pragma once

#include <functional>
#include <string>
#include <vector>

#include "orchestrator/coverage.hpp"
#include "orchestrator/neuron_concentration.hpp"
#include "orchestrator/preflight.hpp"
#include "orchestrator/stages.hpp"

namespace lathe {

/// What a finished job gave.
struct JobReport {
    std::filesystem::path run;
    std::filesystem::path checkpoint;
    std::uint64_t parameters = 0;
    std::uint64_t source_bytes = 0;
    std::uint64_t checkpoint_bytes = 0;
    std::string checkpoint_hash;
    EvaluatedPlan plan;
    double speedup = 0.0;  ///< of the products of its weights over the source's; 0: not known
    std::optional<SliceReport> slice;
    std::vector<NeuronConcentration> neurons;  ///< of a job that puts them in order
    std::optional<RefineReport> refine;
    EvaluationReport evaluation;
    std::vector<ExportReport> exports;
    std::optional<ServeConfig> serve;  ///< the job's; its export is among them
    std::vector<StageReport> stages;
    std::vector<TensorCoverage> tensors;

    [[nodiscard]] double ratio() const {
        return static_cast<double>(source_bytes) / static_cast<double>(checkpoint_bytes);
    }
    [[nodiscard]] double bits_per_weight() const {
        return 8.0 * static_cast<double>(checkpoint_bytes) / static_cast<double>(parameters);
    }
};

/// Runs a job from the beginning or from where its run directory stands, to the end. `on_open` is
/// called once the run directory is this process's own, before the first stage.
/// @throws any Error of a stage; what was finished stays in the run directory
JobReport run_job(const JobConfig& job, comm::Communicator& world, Coordinator& coordinator,
                  const std::function<void(const RunDirectory&, const Preflight&)>& on_open = {});

/// One JSON object with the keys of `lathe run --json`.
[[nodiscard]] std::string to_json(const JobReport& report);

}  // namespace lathe
