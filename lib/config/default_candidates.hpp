#pragma once

#include <vector>

#include "lib/config/job_config.hpp"

namespace lathe {

/// The candidates of a job that names none, for a budget of so many bits a weight. Binary coding
/// takes several times as long to fit as a grid. At as many bits it does less harm, the more so the
/// fewer they are. So it is among the candidates where a budget leaves fewer than 4.
[[nodiscard]] std::vector<CandidateEntry> default_candidates(double bits_per_weight);

/// The same of a job with the section `serve`: what the program computes with.
[[nodiscard]] std::vector<CandidateEntry> served_candidates(const ServeConfig& serve);

/// Gives entries of method "integer" the key scale_bits that the program of `serve` wants, if it
/// wants one and they have none.
void state_scale_bits(const ServeConfig& serve, std::vector<CandidateEntry>& candidates);

}  // namespace lathe
