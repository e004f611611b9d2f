#pragma once

#include <vector>

#include "lib/config/job_config.hpp"

namespace lathe {

/// The candidates of a job that names none, for a budget of so many bits a weight. Binary coding
/// takes several times as long to fit as a grid. At as many bits it does less harm, the more so the
/// fewer they are. So it is among the candidates where a budget leaves fewer than 4.
[[nodiscard]] std::vector<CandidateEntry> default_candidates(double bits_per_weight);

}  // namespace lathe
