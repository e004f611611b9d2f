#pragma once

#include <string>
#include <vector>

#include "workers/job_context.hpp"
#include "workers/token_data.hpp"

namespace lathe {

/// Boundaries of one task at most: each has a stream of its own in memory.
inline constexpr std::size_t max_effect_boundaries = 8;

/// What cutting the stream at one boundary alone does to the model's output. The cut is the global
/// rotation's of sweep 0, to probe_width(), whatever width the job asks for:
/// so the answer serves every width.
struct BoundaryEffectTask {
    std::vector<std::size_t> boundaries;  ///< in rising order
    TokenSequences samples;
};
[[nodiscard]] std::string to_json(const BoundaryEffectTask& task);
[[nodiscard]] BoundaryEffectTask boundary_effect_task_from_json(const std::string& text);

/// For each boundary the divergence of the cut model's output from the whole one's, KL in nats,
/// summed over the rows the head reads.
[[nodiscard]] std::vector<double> run_boundary_effect(const JobContext& context,
                                                      const BoundaryEffectTask& task);

}  // namespace lathe
