#pragma once

#include <cstdint>

#include "lib/config/job_config.hpp"

namespace lathe {

/// Gives a job that names no candidates those of its budget or its program, and entries the keys
/// that the program of `serve` wants. `source_bytes`, `parameters`: of the model.
void complete_candidates(JobConfig& job, std::uint64_t source_bytes, std::uint64_t parameters);

}  // namespace lathe
