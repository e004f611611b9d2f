#include "orchestrator/job_end.hpp"

#include <cmath>
#include <cstdlib>
#include <string>

#include "lib/core/log.hpp"
#include "orchestrator/batch/slurm.hpp"
#include "orchestrator/stop_request.hpp"
#include "orchestrator/timekeeper.hpp"

namespace lathe {
namespace {

std::string variable(const char* name) {
    const char* const text = std::getenv(name);
    return text != nullptr ? text : "";
}

/// Empty outside a batch job. The id of one task of an array may be that of the whole array.
std::string own_job_id() {
    const std::string array = variable("SLURM_ARRAY_JOB_ID");
    return array.empty() ? variable("SLURM_JOB_ID") : array + "_" + variable("SLURM_ARRAY_TASK_ID");
}

}  // namespace

void set_deadline_of_batch_job() {
    const std::string id = own_job_id();
    if (id.empty() || std::isfinite(StopRequest::seconds_left())) {
        return;
    }
    const batch::Slurm slurm([](const auto& command) { return batch::run_process(command); });
    const auto end = slurm.end_of(id);
    if (!end) {
        log_info("job_end_unknown job=" + id);
        return;
    }
    const double left = static_cast<double>(*end) - seconds_since_1970();
    log_info("job_end job=" + id + " seconds_left=" + std::to_string(std::lround(left)));
    if (left > 0.0) {
        StopRequest::set_deadline(left - StopRequest::margin_seconds, "the end of job " + id);
    }
}

}  // namespace lathe
