#pragma once

#include <string>
#include <vector>

#include "lib/job/candidate.hpp"
#include "orchestrator/search/search_space.hpp"

namespace lathe {

/// A way to score candidates, and its name in plan.json.
struct NamedScores {
    std::string name;
    CandidateScores scores;
};

/// The plans of the job's strategy first, then every homogeneous one that fits, without repetition.
/// There is one of the knapsack and one of the greedy for each way of scoring and for each setting
/// of the tensors of no unit: these are few, and scores say less of them than of matrices, so whole
/// plans tell.
/// @throws InfeasibleError  naming the smallest feasible budget, or the largest feasible speedup
[[nodiscard]] std::vector<Plan> plans_to_consider(const JobRun& run, const SearchSpace& space,
                                                  const std::vector<NamedScores>& all_scores);

}  // namespace lathe
