#include <bit>
#include <cmath>

#include "lib/model/common_config.hpp"
#include "lib/model/families.hpp"
#include "lib/model/transformer.hpp"

namespace lathe {
namespace {

constexpr TransformerNames bloom_names{
    .token_embedding = "transformer.word_embeddings",
    .embedding_norm = "transformer.word_embeddings_layernorm",
    .layers = "transformer.h.",
    .attention_norm = "input_layernorm",
    .qkv = "self_attention.query_key_value",
    .o = "self_attention.dense",
    .mlp_norm = "post_attention_layernorm",
    .up = "mlp.dense_h_to_4h",
    .down = "mlp.dense_4h_to_h",
    .final_norm = "transformer.ln_f",
    .head = "lm_head",
};

/// Tokens of a sequence that BLOOM was trained on.
constexpr std::size_t trained_positions = 2048;

/// Press, Smith, Lewis 2022 (arXiv:2108.12409), section 3, and their rule for head counts that are
/// no power of two: the missing slopes are every second one of twice as many heads.
std::vector<float> alibi_slopes(std::size_t n_heads) {
    const auto slopes_of = [](std::size_t heads, std::size_t wanted, std::size_t step) {
        std::vector<float> slopes;
        for (std::size_t i = 0; i < wanted; ++i) {
            const double exponent =
                -8.0 / static_cast<double>(heads) * static_cast<double>(1 + step * i);
            slopes.push_back(static_cast<float>(std::exp2(exponent)));
        }
        return slopes;
    };
    const std::size_t power = std::bit_floor(n_heads);
    std::vector<float> slopes = slopes_of(power, power, 1);
    const std::vector<float> others = slopes_of(2 * power, n_heads - power, 2);
    slopes.insert(slopes.end(), others.begin(), others.end());
    return slopes;
}

ModelSpec read_bloom(const ConfigReader& config) {
    ModelSpec spec = read_sizes(
        config, {.blocks = "n_layer", .heads = "n_head", .epsilon = "layer_norm_epsilon"});
    spec.norm = NormKind::layer;
    spec.intermediate_size = 4 * spec.hidden_size;
    // transformers does not look at it: the model has no limit of its own.
    spec.max_positions =
        config.optional_integer("seq_length", size_limits::positions).value_or(trained_positions);
    spec.activation = Activation::gelu_tanh;
    spec.alibi_slopes = alibi_slopes(spec.n_heads);
    if (config.boolean("apply_residual_connection_post_layernorm"))
        config.unsupported("apply_residual_connection_post_layernorm", "false");
    add_transformer_tensors(spec, bloom_names,
                            {.norm_bias = true,
                             .qkv_bias = true,
                             .o_bias = true,
                             .mlp_bias = true,
                             .fused_order = FusedOrder::by_head});
    return spec;
}

}  // namespace

FamilyRow bloom_family() {
    return {.model_type = "bloom",
            .prefix = "transformer.",
            .head = "lm_head.weight",
            .buffers = {},
            .read = read_bloom};
}

}  // namespace lathe
