#pragma once

#include <string>
#include <vector>

#include "workers/job/job_context.hpp"
#include "workers/samples/token_data.hpp"

namespace lathe {

/// Cuts of one task at most: each has a stream of its own in memory.
inline constexpr std::size_t max_cuts = 8;

/// What cuts of the fused model's stream do to its output, by the rotations of sweep 0.
struct CutEffectTask {
    /// Of each cut the widths at all boundaries; where it is the hidden size, nothing is cut.
    std::vector<std::vector<std::size_t>> cuts;
    TokenSequences samples;
};
[[nodiscard]] std::string to_json(const CutEffectTask& task);
[[nodiscard]] CutEffectTask cut_effect_task_from_json(const std::string& text);

/// For each cut the divergence of the cut model's output from the whole one's, KL in nats, summed
/// over the rows the head reads.
[[nodiscard]] std::vector<double> run_cut_effect(const JobContext& context,
                                                 const CutEffectTask& task);

}  // namespace lathe
