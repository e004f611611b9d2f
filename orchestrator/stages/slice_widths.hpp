#pragma once

#include <vector>

#include "orchestrator/job_run.hpp"
#include "orchestrator/stages.hpp"

namespace lathe {

/// The model to be cut, as the slicing tasks see it.
[[nodiscard]] const ModelSpec& fused_spec(const JobRun& run);

/// What each of several cuts (the widths at all boundaries) does to the output: the mean divergence
/// in nats of the cut model from the whole one, on the first calibration samples. The rotations of
/// sweep 0 must be there.
[[nodiscard]] std::vector<double> measure_cuts(JobRun& run,
                                               const std::vector<std::vector<std::size_t>>& cuts);

/// The same of cutting at one boundary alone, for each boundary, to probe_width().
[[nodiscard]] std::vector<double> measure_single_cuts(JobRun& run);

/// The widths that the job's `slice.widths` asks for. Constant ones follow from the job alone;
/// others need the rotations of sweep 0. `considered` gets those that were compared by their
/// divergence.
[[nodiscard]] std::vector<std::size_t> choose_widths(JobRun& run,
                                                     std::vector<ConsideredWidths>& considered);

}  // namespace lathe
