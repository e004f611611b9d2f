#pragma once

#include <string>
#include <vector>

#include "workers/job/job_context.hpp"

namespace lathe {

/// What happens to a tensor of the source.
enum class TensorFate {
    compressed,   ///< some candidate changes it; the search decides
    kept,         ///< it goes into the checkpoint as it is
    passed_over,  ///< it does not go into the checkpoint
};

[[nodiscard]] std::string_view name(TensorFate fate) noexcept;

struct TensorCoverage {
    std::string tensor;  ///< as the source names it
    TensorFate fate = TensorFate::kept;
    std::string unit;    ///< of a compressed one
    std::string reason;  ///< of the others
};

/// Every tensor of the source, once: those of the model in its order, then what is passed over. A
/// tensor that belongs nowhere is not among them: opening the model refuses it.
[[nodiscard]] std::vector<TensorCoverage> coverage(const JobContext& context);

/// A JSON array of objects with tensor, fate, and unit or reason.
[[nodiscard]] std::string to_json(const std::vector<TensorCoverage>& tensors);

/// "54 compressed, 13 kept, 1 passed over (lm_head.weight: ...)".
[[nodiscard]] std::string summary(const std::vector<TensorCoverage>& tensors);

}  // namespace lathe
