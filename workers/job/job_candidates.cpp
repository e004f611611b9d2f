#include "workers/job/job_candidates.hpp"

#include "lib/config/default_candidates.hpp"

namespace lathe {

void complete_candidates(JobConfig& job, std::uint64_t source_bytes, std::uint64_t parameters) {
    if (job.candidates.empty() && job.serve) {
        job.candidates = served_candidates(*job.serve);
    } else if (job.candidates.empty()) {
        const std::uint64_t limit = job.budget.limit_bytes(source_bytes, parameters);
        job.candidates =
            default_candidates(8.0 * static_cast<double>(limit) / static_cast<double>(parameters));
    }
    if (job.serve) {
        state_scale_bits(*job.serve, job.candidates);
    }
}

}  // namespace lathe
