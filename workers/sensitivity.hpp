#pragma once

#include <string>
#include <vector>

#include "lib/job/candidate.hpp"
#include "workers/job_context.hpp"
#include "workers/token_data.hpp"

namespace lathe {

/// What it does to the model's output to change one unit and nothing else.
struct SensitivityTask {
    std::vector<Setting> probes;  ///< for each unit the setting it is tried under
    TokenWindows windows;
};

[[nodiscard]] std::string to_json(const SensitivityTask& task);
[[nodiscard]] SensitivityTask sensitivity_task_from_json(const std::string& text);

/// For each unit the sum over all positions of KL(source || source with that unit changed), nats.
///
/// One walk through the blocks serves all units: a block's weights are loaded once, and the streams
/// of all units changed so far go through it together. Memory: one residual stream a unit, so
/// the caller keeps the windows few.
[[nodiscard]] std::vector<double> run_sensitivity(const JobContext& context,
                                                  const SensitivityTask& task);

}  // namespace lathe
