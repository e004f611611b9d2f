#pragma once

#include "orchestrator/preflight.hpp"

namespace lathe {

/// The stages of a job in their order: tasks, floating-point operations, and seconds on these ranks
/// by a short measurement of this processor. `model` is the one that is compressed.
[[nodiscard]] std::vector<Preflight::Stage> estimate_stages(const JobContext& context,
                                                            const ModelOutline& model,
                                                            const JobQuestions& questions);

}  // namespace lathe
