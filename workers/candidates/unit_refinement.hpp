#pragma once

#include "lib/job/candidate.hpp"
#include "workers/candidates/refined_weights.hpp"
#include "workers/job/job_context.hpp"
#include "workers/statistics/input_shift.hpp"

namespace lathe {

/// Solves a unit under a setting for the inputs that `shift` saw and with the target that makes up
/// for what is missing there. What comes out goes into `weights`.
void refine_unit(const JobContext& context, std::size_t unit, const Setting& setting,
                 const InputShift& shift, PartlyRefined& weights);

}  // namespace lathe
