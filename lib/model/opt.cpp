#include <array>

#include "lib/model/common_config.hpp"
#include "lib/model/families.hpp"
#include "lib/model/transformer.hpp"

namespace lathe {
namespace {

constexpr TransformerNames opt_names{
    .token_embedding = "model.decoder.embed_tokens",
    .position_embedding = "model.decoder.embed_positions",
    .layers = "model.decoder.layers.",
    .attention_norm = "self_attn_layer_norm",
    .q = "self_attn.q_proj",
    .k = "self_attn.k_proj",
    .v = "self_attn.v_proj",
    .o = "self_attn.out_proj",
    .mlp_norm = "final_layer_norm",
    .up = "fc1",
    .down = "fc2",
    .head = "lm_head",
};

/// Of the program that the published checkpoints come from.
constexpr std::array<std::string_view, 1> buffers{"decoder.version"};

/// The first two rows of the table of positions are never read.
constexpr std::size_t position_offset = 2;

ModelSpec read_opt(const ConfigReader& config) {
    // Its norms keep the epsilon of torch, whatever config.json says.
    ModelSpec spec = read_sizes(config, {.epsilon = ""});
    spec.norm = NormKind::layer;
    spec.intermediate_size = config.integer("ffn_dim", size_limits::intermediate);
    spec.max_positions = config.integer("max_position_embeddings", size_limits::positions);
    spec.position_offset = position_offset;
    spec.activation = read_activation(config, "activation_function");
    spec.embedding_size = config.optional_integer("word_embed_proj_dim", size_limits::hidden)
                              .value_or(spec.hidden_size);
    if (!config.boolean("layer_norm_elementwise_affine"))
        config.unsupported("layer_norm_elementwise_affine",
                           "true: norms without weights are unsupported");

    TransformerNames names = opt_names;
    if (spec.embedding_size != spec.hidden_size) {
        names.embedding_projection = "model.decoder.project_in";
        names.head_projection = "model.decoder.project_out";
    }
    // OPT-350M alone norms after the addition, and has no norm at the end.
    if (!config.boolean("do_layer_norm_before")) {
        spec.form = BlockForm::post_norm;
    } else if (!config.boolean("_remove_final_layer_norm")) {
        names.final_norm = "model.decoder.final_layer_norm";
    }
    const bool bias = config.boolean("enable_bias");
    add_transformer_tensors(spec, names,
                            {.norm_bias = true,
                             .qkv_bias = bias,
                             .o_bias = bias,
                             .mlp_bias = bias,
                             .position_rows = spec.max_positions + position_offset});
    return spec;
}

}  // namespace

FamilyRow opt_family() {
    return {.model_type = "opt",
            .prefix = "model.",
            .head = "lm_head.weight",
            .buffers = buffers,
            .read = read_opt,
            .bias_keys = "enable_bias"};
}

}  // namespace lathe
