#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "lib/job/candidate.hpp"
#include "orchestrator/job_run.hpp"
#include "orchestrator/plan_size.hpp"
#include "orchestrator/search/knapsack.hpp"

namespace lathe {

/// The candidates of each unit; the last row has those of the tensors of no unit.
using CandidateTable = std::vector<std::vector<Candidate>>;
/// A number for each of them: how bad it is. Those of different units add up.
using CandidateScores = std::vector<std::vector<double>>;

/// What the compress stage left in the run directory, and kept_candidate() of each of the job's.
[[nodiscard]] CandidateTable read_candidate_table(const JobRun& run);

/// The candidates a choice stands for. @throws InternalError  if a unit has none of that setting
[[nodiscard]] std::vector<Candidate> chosen_candidates(const CandidateTable& table,
                                                       const std::vector<Setting>& choice);

/// Every unit under `setting`, or under the candidate most like it: of its method, with the fewest
/// differing values, then the fewest bytes more, then the least error. None if a unit has no
/// candidate of that method; the tensors of no unit have the job's first then.
[[nodiscard]] std::optional<std::vector<Setting>> homogeneous_choice(const CandidateTable& table,
                                                                     const Setting& setting);

/// All settings of units in the table, each once, in the order of their first candidate.
[[nodiscard]] std::vector<Setting> distinct_settings(const CandidateTable& table);

/// Units with their candidates as options of the knapsack: bytes as a plan has them;
/// `seconds` of each, or empty.
[[nodiscard]] std::vector<std::vector<Option>> options_of(
    const PlanSize& size, const CandidateTable& table, const CandidateScores& scores,
    const std::vector<std::vector<double>>& seconds);

}  // namespace lathe
