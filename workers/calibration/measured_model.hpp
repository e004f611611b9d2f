#pragma once

#include "workers/job/job_context.hpp"
#include "workers/model/fused_weights.hpp"
#include "workers/model/weight_source.hpp"

namespace lathe {

/// The model that a job calibrates: the fused one of a job that slices, else its source.
class MeasuredModel {
public:
    /// @pre  `context` outlives the object
    explicit MeasuredModel(const JobContext& context)
        : fused_(context.fused),
          spec_(fused_ ? fused_->spec : context.spec()),
          source_(*context.source) {}

    [[nodiscard]] const ModelSpec& spec() const { return spec_; }
    [[nodiscard]] const WeightSource& weights() const {
        return fused_ ? static_cast<const WeightSource&>(fused_->weights) : source_;
    }

private:
    std::shared_ptr<const FusedModel> fused_;
    const ModelSpec& spec_;
    SourceWeights source_;
};

}  // namespace lathe
