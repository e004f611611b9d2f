#pragma once

#include <vector>

#include "lib/config/job_config.hpp"

namespace lathe {

/// The candidates of a job that names none, for a budget of so many bits a weight. Binary coding
/// takes several times as long to fit as a grid does and, at as many bits, does less harm the fewer
/// they are: it is among them where a budget leaves fewer than 4.
[[nodiscard]] std::vector<CandidateEntry> default_candidates(double bits_per_weight);

}  // namespace lathe
