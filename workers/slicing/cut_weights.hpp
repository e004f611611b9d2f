#pragma once

#include <map>
#include <optional>
#include <vector>

#include "workers/job/job_context.hpp"
#include "workers/network/forward.hpp"
#include "workers/slicing/slice_fit.hpp"
#include "workers/slicing/sliced_model.hpp"
#include "workers/slicing/sliced_weights.hpp"

namespace lathe {

/// A layer that writes to the stream, and what it reads.
struct StreamWriter {
    Role role;
    Signal input;
};
/// Those of a step, in the order in which they run.
[[nodiscard]] std::vector<StreamWriter> writers_of(const ModelSpec& spec, std::size_t step);
/// All that a step of a block consists of.
[[nodiscard]] std::vector<Role> roles_of(const ModelSpec& spec, std::size_t step);

/// The weights of a sliced model that is being refitted. Those in use are computed once.
class CutWeights final : public WeightSource {
public:
    /// @pre  `context` and `target` outlive the object
    CutWeights(const JobContext& context, const SlicedModel& target,
               const std::vector<std::size_t>& widths)
        : spec_(target.spec), weights_(context, target, widths) {}

    void load(std::size_t index, const kernels::Backend& backend,
              MatrixView<float> values) const override;

    /// Takes what is fitted at a boundary. Tensors of `role` change by it; without a role, all may.
    void refit(std::size_t boundary, const StepFit& fit, std::optional<Role> role = {});

private:
    const ModelSpec& spec_;
    mutable SlicedWeights weights_;
    mutable std::map<std::size_t, std::vector<double>> values_;
};

}  // namespace lathe
