#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lib/job/candidate.hpp"
#include "workers/job/job_context.hpp"
#include "workers/model/weight_source.hpp"

namespace lathe {

/// Weights of a plan that is not assembled: each unit's tensors from its chosen candidate, or as
/// refinement left them.
class PlanWeights final : public EncodedWeights {
public:
    /// `choice`: Plan::choice. `refined`: Plan::refined.
    /// @throws InternalError  for a choice that is not one of each unit and one more
    PlanWeights(const JobContext& context, std::vector<Setting> choice, std::string refined = "");
    [[nodiscard]] EncodedTensor read(std::size_t index) const override;

private:
    const JobContext& context_;
    std::vector<Setting> choice_;
    std::string refined_;
};

}  // namespace lathe
