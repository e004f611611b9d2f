#pragma once

#include "lib/model/common_config.hpp"
#include "lib/model/transformer.hpp"

namespace lathe {

/// Sets what all encoders of BERT's kind share: LayerNorm after each addition, attention to both
/// sides, learned positions that end at `max_positions`, a classification head on the first token.
void make_encoder(const ConfigReader& config, ModelSpec& spec);

/// The options of their tensors: biases everywhere.
[[nodiscard]] TransformerOptions encoder_options(const ModelSpec& spec);

/// What BERT and its descendants call the modules of a block; the others are left empty.
inline constexpr TransformerNames bert_block_names{
    .token_embedding = {},
    .layers = {},
    .attention_norm = "attention.output.LayerNorm",
    .q = "attention.self.query",
    .k = "attention.self.key",
    .v = "attention.self.value",
    .o = "attention.output.dense",
    .mlp_norm = "output.LayerNorm",
    .up = "intermediate.dense",
    .down = "output.dense",
};

}  // namespace lathe
