#include <array>

#include "lib/model/common_config.hpp"
#include "lib/model/families.hpp"
#include "lib/model/transformer.hpp"

namespace lathe {
namespace {

constexpr TransformerNames gpt2_names{
    .token_embedding = "transformer.wte",
    .position_embedding = "transformer.wpe",
    .layers = "transformer.h.",
    .attention_norm = "ln_1",
    .qkv = "attn.c_attn",
    .o = "attn.c_proj",
    .mlp_norm = "ln_2",
    .up = "mlp.c_fc",
    .down = "mlp.c_proj",
    .final_norm = "transformer.ln_f",
    .head = "lm_head",
};

constexpr std::array<std::string_view, 2> buffers{".attn.bias", ".attn.masked_bias"};

ModelSpec read_gpt2(const ConfigReader& config) {
    ModelSpec spec = read_sizes(config, {.hidden = "n_embd",
                                         .blocks = "n_layer",
                                         .heads = "n_head",
                                         .epsilon = "layer_norm_epsilon"});
    spec.norm = NormKind::layer;
    spec.intermediate_size = config.optional_integer("n_inner", size_limits::intermediate)
                                 .value_or(4 * spec.hidden_size);
    spec.max_positions = config.integer("n_positions", size_limits::positions);
    spec.activation = read_activation(config, "activation_function");
    if (!config.boolean("scale_attn_weights")) config.unsupported("scale_attn_weights", "true");
    if (config.boolean("scale_attn_by_inverse_layer_idx"))
        config.unsupported("scale_attn_by_inverse_layer_idx", "false");
    if (config.boolean("add_cross_attention")) config.unsupported("add_cross_attention", "false");
    add_transformer_tensors(spec, gpt2_names,
                            {.norm_bias = true,
                             .qkv_bias = true,
                             .o_bias = true,
                             .mlp_bias = true,
                             .transposed = true,
                             .position_rows = spec.max_positions});
    return spec;
}

}  // namespace

FamilyRow gpt2_family() {
    return {.model_type = "gpt2",
            .prefix = "transformer.",
            .head = "lm_head.weight",
            .buffers = buffers,
            .read = read_gpt2};
}

}  // namespace lathe
