#include <array>

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

constexpr std::array<std::string_view, 1> buffers{".rotary_emb.inv_freq"};

ModelSpec read_phi(const nlohmann::json& json, const std::string& where) {
    const ConfigReader config(json, where);
    ModelSpec spec = read_sizes(config);
    spec.form = BlockForm::parallel;
    spec.norm = NormKind::layer;
    spec.intermediate_size = config.integer("intermediate_size", size_limits::intermediate);
    spec.max_positions = config.integer("max_position_embeddings", size_limits::positions);
    spec.activation = read_activation(config, "hidden_act", Activation::gelu_tanh);
    read_rotary_positions(config, spec, 0.5);
    if (config.boolean("qk_layernorm", false))
        config.refuse("qk_layernorm", "false: norms of queries and keys are unsupported here");
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
            .buffers = buffers,
            .read = read_phi};
}

}  // namespace lathe
