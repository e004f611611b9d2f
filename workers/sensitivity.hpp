#pragma once

#include <string>
#include <vector>

#include "lib/job/candidate.hpp"
#include "workers/job_context.hpp"
#include "workers/token_data.hpp"

namespace lathe {

/// What it does to the model's output to change one unit and nothing else, for a few units.
struct SensitivityTask {
    std::vector<std::size_t> units;
    std::vector<Setting> probes;  ///< for each of them the setting it is tried under
    TokenSequences samples;
};

/// A task has at most so many units: memory must not grow with the number of blocks.
inline constexpr std::size_t max_sensitivity_units = 16;

[[nodiscard]] std::string to_json(const SensitivityTask& task);
[[nodiscard]] SensitivityTask sensitivity_task_from_json(const std::string& text);

/// For each unit of the task the sum over all of the head's rows of KL(source || source with that
/// unit changed), nats.
///
/// One walk through the blocks serves all units of the task: a block's weights are loaded once, and
/// the streams of all units changed so far go through it. Memory: one residual stream a unit.
[[nodiscard]] std::vector<double> run_sensitivity(const JobContext& context,
                                                  const SensitivityTask& task);

}  // namespace lathe
