#pragma once

#include <string>
#include <vector>

#include "methods/error_feedback.hpp"
#include "workers/job/job_context.hpp"

namespace lathe {

/// A factor that the pieces of a unit share, so that it is made once.
struct UnitFactor {
    ErrorFeedback feedback;
    std::string fingerprint;  ///< of its file
};

/// Makes it: RunDirectory::unit_factor(), with the upper triangle of make_inverse_factor(), packed,
/// as `factor`. Takes the memory of two Gram matrices in fp32.
struct FactorTask {
    std::size_t unit = 0;
    UnitFactor factor;
};

[[nodiscard]] std::string to_json(const FactorTask& task);
[[nodiscard]] FactorTask factor_task_from_json(const std::string& text);
void run_factor(const JobContext& context, const FactorTask& task);

/// What run_factor() made. [d, d]
/// @throws DataError  for a file of another fingerprint or size
[[nodiscard]] std::vector<float> read_unit_factor(const JobContext& context, const UnitSpec& unit,
                                                  const UnitFactor& factor);

}  // namespace lathe
