#include "workers/network/head.hpp"

namespace lathe {

Head::Head(const ModelSpec& spec, const WeightSource& weights, const kernels::Backend& backend,
           const IntegerParts& integer)
    : spec_(spec),
      forward_(spec, backend, 1),
      logits_(backend.allocate<float>(logit_rows * spec.n_outputs())) {
    if (integer.any()) {
        integers_ = std::make_unique<IntegerPass>(spec, backend, integer, 1);
        mixed_ = integers_->load(weights, std::nullopt, integers_->head_roles());
    } else {
        loaded_ = LoadedWeights::load(spec, weights, backend, std::nullopt, forward_.head_roles());
    }
}

MatrixView<const float> Head::logits(const kernels::Array<float>& states, std::size_t first,
                                     std::size_t count) {
    const MatrixView<float> tile = logits_.matrix(count, spec_.n_outputs());
    const MatrixView<const float> x(states.data() + first * spec_.head_width(), count,
                                    spec_.head_width());
    if (integers_) {
        integers_->head(mixed_, Flow::of_values(x), tile);
    } else {
        forward_.head(loaded_, x, tile);
    }
    return tile;
}

}  // namespace lathe
