#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "orchestrator/estimate/job_work.hpp"
#include "workers/samples/token_data.hpp"

namespace lathe {

/// What the stages of a job reckon with, for list_work().
struct JobSizes {
    /// @pre  `job_outline` outlives the object
    JobSizes(const JobOutline& job_outline, int ranks);

    int n_ranks;
    const JobOutline& outline;
    const JobConfig& job;
    const ModelSpec& spec;
    std::size_t length;  ///< tokens of a sample
    double tokens;       ///< of all calibration samples
    double block_weights, grams, hidden, n_blocks, block_flops;
    double source_bytes, plan_bytes;
    std::vector<double> unit_elements;

    [[nodiscard]] double bytes_of_element() const;
    /// The block that a unit is compressed with; n_blocks for what stands outside.
    [[nodiscard]] std::size_t block_of(std::size_t unit) const;
    /// FLOP of a unit's settings, one after another, and of the costliest alone.
    [[nodiscard]] std::pair<double, double> solver_flops(std::size_t unit) const;
    /// Memory of a rank that measures plans: a block in fp32, a residual stream a variant, logits
    /// twice.
    [[nodiscard]] double search_bytes() const;
    /// A call of no tasks yet.
    [[nodiscard]] WorkCall call(const char* stage, double rank_bytes) const;
};

/// Sequences of which nothing but the lengths matters.
[[nodiscard]] TokenSequences sequences(std::size_t n, std::size_t length);
/// Of each range of at most so many tokens of such sequences: how many it has.
[[nodiscard]] std::vector<std::size_t> ranges_of(std::size_t n, std::size_t length,
                                                 std::size_t most);
[[nodiscard]] WorkTask task_of(const char* stage, std::string id, double cost, const Work& work);

}  // namespace lathe
