#pragma once

#include "lib/model/config_reader.hpp"
#include "lib/model/model_spec.hpp"
#include "lib/model/rope.hpp"
#include "lib/model/transformer.hpp"

namespace lathe {

/// Reads what all decoders of the Llama kind (RMSNorm, grouped-query attention, gated MLP, rotary
/// positions) spell alike in config.json. The tensor lists stay empty, `family` is the caller's.
/// @throws DataError  as read_sizes(), read_activation() and read_rotary_positions(); a partial
///   rotation, which only Phi-3 has
[[nodiscard]] ModelSpec read_llama_kind(const ConfigReader& config);

/// The same for a family that rotates a part of each head where the config says so.
[[nodiscard]] ModelSpec read_llama_kind(const ConfigReader& config, const RopeKeys& rope);

/// The names of the Llama kind, "model.layers.0.self_attn.q_proj" and so on.
inline constexpr TransformerNames llama_names{
    .token_embedding = "model.embed_tokens",
    .layers = "model.layers.",
    .attention_norm = "input_layernorm",
    .q = "self_attn.q_proj",
    .k = "self_attn.k_proj",
    .v = "self_attn.v_proj",
    .o = "self_attn.o_proj",
    .mlp_norm = "post_attention_layernorm",
    .gate = "mlp.gate_proj",
    .up = "mlp.up_proj",
    .down = "mlp.down_proj",
    .final_norm = "model.norm",
    .head = "lm_head",
};

}  // namespace lathe
