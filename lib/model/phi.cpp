#include "lib/model/common_config.hpp"
#include "lib/model/families.hpp"
#include "lib/model/transformer.hpp"

namespace lathe {
namespace {

constexpr TransformerNames phi_names{
    .token_embedding = "model.embed_tokens",
    .layers = "model.layers.",
    .attention_norm = "input_layernorm",
    .q = "self_attn.q_proj",
    .k = "self_attn.k_proj",
    .v = "self_attn.v_proj",
    .o = "self_attn.dense",
    .up = "mlp.fc1",
    .down = "mlp.fc2",
    .final_norm = "model.final_layernorm",
    .head = "lm_head",
};

ModelSpec read_phi(const ConfigReader& config) {
    ModelSpec spec =
        read_sizes(config, {.kv_heads = "num_key_value_heads", .head_dim = "head_dim"});
    spec.form = BlockForm::parallel;
    spec.norm = NormKind::layer;
    spec.intermediate_size = config.integer("intermediate_size", size_limits::intermediate);
    spec.max_positions = config.integer("max_position_embeddings", size_limits::positions);
    spec.activation = read_activation(config, "hidden_act");
    read_rotary_positions(config, spec);
    if (config.boolean("qk_layernorm"))
        config.unsupported("qk_layernorm", "false: norms of queries and keys are unsupported here");
    if (spec.tied_head)
        config.unsupported("tie_word_embeddings",
                           "false: this head has a bias, and tied it is unsupported here");
    add_transformer_tensors(
        spec, phi_names,
        {.norm_bias = true, .qkv_bias = true, .o_bias = true, .mlp_bias = true, .head_bias = true});
    return spec;
}

}  // namespace

FamilyRow phi_family() {
    return {.model_type = "phi",
            .prefix = "model.",
            .head = "lm_head.weight",
            .buffers = rotary_buffers,
            .read = read_phi};
}

}  // namespace lathe
