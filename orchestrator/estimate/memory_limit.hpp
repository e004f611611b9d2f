#pragma once

#include <cstdint>
#include <string>

#include "lib/comm/communicator.hpp"
#include "lib/config/job_config.hpp"

namespace lathe {

/// What a rank may use, and who says so.
struct MemoryLimit {
    std::uint64_t bytes = 0;  ///< 0: nobody says
    std::string source;       ///< "runtime.memory_limit", "SLURM_MEM_PER_NODE / 4 ranks"
    bool is_given = false;    ///< by the job
};

/// The job's runtime.memory_limit or, without one, this rank's share of granted_memory(): as much
/// as each other rank of its node has.
[[nodiscard]] MemoryLimit memory_limit_of(const JobConfig& job, const comm::Communicator& world);

}  // namespace lathe
