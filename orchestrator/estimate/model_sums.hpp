#pragma once

#include "lib/model/model_spec.hpp"

namespace lathe {

/// Weights of a block.
[[nodiscard]] double block_weights(const ModelSpec& spec);

/// Elements of the Gram matrices of a block's linear inputs, each input once.
[[nodiscard]] double gram_elements(const ModelSpec& spec);

}  // namespace lathe
