#pragma once

#include "lib/model/model_spec.hpp"

namespace lathe {

/// Weights of a block.
[[nodiscard]] double block_weights(const ModelSpec& spec);

/// Elements of the Gram matrices of a block's linear inputs, each input once.
[[nodiscard]] double gram_elements(const ModelSpec& spec);

/// FLOP of one token in sequences of this length: through a block; through the head; through all
/// blocks and, if wanted, the head.
[[nodiscard]] double block_flops(const ModelSpec& spec, double length);
[[nodiscard]] double head_flops(const ModelSpec& spec);
[[nodiscard]] double forward_flops(const ModelSpec& spec, double length, bool with_head);

}  // namespace lathe
