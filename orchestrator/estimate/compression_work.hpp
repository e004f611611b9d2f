#pragma once

#include <cstddef>
#include <vector>

#include "orchestrator/estimate/job_sizes.hpp"
#include "workers/candidates/unit_rows.hpp"

namespace lathe {

/// The tasks that the compress stage makes a unit's candidates in, and their work. `cuts`: of
/// compression_pieces().
[[nodiscard]] std::vector<WorkTask> compression_work(const JobSizes& sizes, std::size_t unit,
                                                     const std::vector<UnitRows>& cuts);

}  // namespace lathe
