#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lib/config/job_config.hpp"
#include "lib/job/run_directory.hpp"
#include "orchestrator/neuron_concentration.hpp"
#include "orchestrator/report/node.hpp"
#include "orchestrator/report/spectra.hpp"
#include "orchestrator/report/timeline.hpp"
#include "orchestrator/run_records.hpp"

namespace lathe::report {

/// What a search for one budget left.
struct PlanFile {
    std::string name;  ///< "" for the job's own budget, else "3x"
    nlohmann::json content;
    [[nodiscard]] Node node() const { return content; }
};

/// All that a run directory tells, as far as it is there and whole.
struct RunFacts {
    RunDirectory run;
    /// "running", "done", "stopped", "failed", "unknown": by status.json and the lock.
    std::string state = "unknown";
    std::optional<RunManifest> manifest;
    std::string job_text;          ///< job.yaml
    std::optional<JobConfig> job;  ///< it, as far as this version understands it
    RunStatus status;
    nlohmann::json report;  ///< null where the job has not come to its end
    std::vector<PlanFile> plans;
    nlohmann::json windows;
    std::uint64_t source_bytes = 0;
    Timeline timeline;
    std::vector<NeuronConcentration> neurons;
    Spectra spectra;
    /// What could not be read, a sentence each, and what the run has not come to.
    std::vector<std::string> missing;

    /// Nothing of a run is there.
    [[nodiscard]] bool is_empty() const;
    /// The last part of the model's path; "model" if it is not known.
    [[nodiscard]] std::string model_name() const;
    /// The plan of the job's own budget; an absent node if there is none.
    [[nodiscard]] Node plan() const;
};

/// Reads what is there. Never throws for what is missing or damaged: it says so in `missing`.
/// `at_end`: by the job itself, as the last thing that it does.
/// @throws MissingInputError  if the directory does not exist
[[nodiscard]] RunFacts read_run_facts(const RunDirectory& run, bool at_end = false);

}  // namespace lathe::report
