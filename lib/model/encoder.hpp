#pragma once

#include "lib/model/common_config.hpp"
#include "lib/model/transformer.hpp"

namespace lathe {

/// Sets what all encoders of BERT's kind share: LayerNorm after each addition, attention to both
/// sides, learned positions that end at `max_positions`, a classification head on the first token.
void make_encoder(const ConfigReader& config, ModelSpec& spec);

/// The options of their tensors: biases everywhere.
[[nodiscard]] TransformerOptions encoder_options(const ModelSpec& spec);

}  // namespace lathe
