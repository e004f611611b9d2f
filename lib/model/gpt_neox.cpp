#include <array>

#include "lib/model/common_config.hpp"
#include "lib/model/families.hpp"
#include "lib/model/transformer.hpp"

namespace lathe {
namespace {

constexpr TransformerNames neox_names{
    .token_embedding = "gpt_neox.embed_in",
    .layers = "gpt_neox.layers.",
    .attention_norm = "input_layernorm",
    .qkv = "attention.query_key_value",
    .o = "attention.dense",
    .mlp_norm = "post_attention_layernorm",
    .up = "mlp.dense_h_to_4h",
    .down = "mlp.dense_4h_to_h",
    .final_norm = "gpt_neox.final_layer_norm",
    .head = "embed_out",
};

constexpr std::array<std::string_view, 5> buffers{".attention.bias", ".attention.masked_bias",
                                                  ".rotary_emb.inv_freq", ".rotary_emb.cos_cached",
                                                  ".rotary_emb.sin_cached"};

ModelSpec read_gpt_neox(const ConfigReader& config) {
    ModelSpec spec = read_sizes(config);
    spec.form = config.boolean("use_parallel_residual") ? BlockForm::parallel : BlockForm::pre_norm;
    spec.norm = NormKind::layer;
    spec.intermediate_size = config.integer("intermediate_size", size_limits::intermediate);
    spec.max_positions = config.integer("max_position_embeddings", size_limits::positions);
    spec.activation = read_activation(config, "hidden_act");
    read_rotary_positions(config, spec, {.theta = "rotary_emb_base", .share = "rotary_pct"});
    const bool attention_bias = config.boolean("attention_bias");
    add_transformer_tensors(spec, neox_names,
                            {.norm_bias = true,
                             .qkv_bias = attention_bias,
                             .o_bias = attention_bias,
                             .mlp_bias = true,
                             .fused_order = FusedOrder::by_head});
    return spec;
}

}  // namespace

FamilyRow gpt_neox_family() {
    return {.model_type = "gpt_neox",
            .prefix = "gpt_neox.",
            .head = "embed_out.weight",
            .buffers = buffers,
            .read = read_gpt_neox,
            .other_head = "lm_head.weight",
            .bias_keys = "attention_bias"};
}

}  // namespace lathe
