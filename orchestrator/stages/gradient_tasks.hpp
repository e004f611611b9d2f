#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "orchestrator/job_run.hpp"

namespace lathe {

/// Tasks of a stage that goes back through a model, one for each batch of the samples: their
/// arguments are a GradientTask, and their artifacts the stage's. Names are "STAGE/0" and so on.
[[nodiscard]] std::vector<StageTask> gradient_tasks(
    const char* stage, const JobContext& context, const TokenSequences& samples,
    const std::function<std::string(const std::vector<std::string>& parts)>& fingerprint,
    const std::function<std::filesystem::path(std::size_t part)>& artifact);

}  // namespace lathe
