#include "lib/model/gated_decoder.hpp"

#include <string>

#include "lib/core/errors.hpp"
#include "lib/model/rope.hpp"
#include "lib/model/spec_builder.hpp"

namespace lathe {
namespace {

void read_attention_sizes(const ConfigReader& config, ModelSpec& spec) {
    spec.n_heads = config.integer("num_attention_heads", size_limits::heads);
    spec.n_kv_heads =
        config.optional_integer("num_key_value_heads", size_limits::heads).value_or(spec.n_heads);
    if (spec.n_heads % spec.n_kv_heads != 0)
        config.refuse("num_key_value_heads",
                      "a divisor of num_attention_heads = " + std::to_string(spec.n_heads));

    if (const auto head_dim = config.optional_integer("head_dim", size_limits::head_dim)) {
        spec.head_dim = *head_dim;
        if (spec.head_dim % 2 != 0)
            config.refuse("head_dim", "an even number: rotary positions act on pairs");
        return;
    }
    const std::string heads = std::to_string(spec.n_heads);
    if (spec.hidden_size % spec.n_heads != 0)
        config.refuse("hidden_size",
                      "a multiple of num_attention_heads = " + heads + ", as there is no head_dim");
    spec.head_dim = spec.hidden_size / spec.n_heads;
    if (spec.head_dim % 2 != 0)
        config.refuse("hidden_size", "an even multiple of num_attention_heads = " + heads +
                                         ": rotary positions act on pairs");
}

void check_activation(const ConfigReader& config) {
    const std::string activation = config.optional_string("hidden_act").value_or("silu");
    if (activation != "silu" && activation != "swish")
        config.refuse("hidden_act", "\"silu\", the only activation supported for this family");
}

}  // namespace

ModelSpec read_gated_decoder(const ConfigReader& config) {
    ModelSpec spec;
    spec.hidden_size = config.integer("hidden_size", size_limits::hidden);
    spec.intermediate_size = config.integer("intermediate_size", size_limits::intermediate);
    spec.n_blocks = config.integer("num_hidden_layers", size_limits::blocks);
    read_attention_sizes(config, spec);
    spec.vocab_size = config.integer("vocab_size", size_limits::vocab);
    spec.max_positions = config.integer("max_position_embeddings", size_limits::positions);
    spec.norm_epsilon = static_cast<float>(
        config.optional_number("rms_norm_eps", {.low = 0.0, .high = 1.0}).value_or(1e-6));
    spec.tied_head = config.boolean("tie_word_embeddings", false);
    spec.eos_ids = config.token_ids("eos_token_id");

    check_activation(config);
    if (const double share = read_partial_rotary_factor(config); share != 1.0)
        throw DataError(config.where() + ": \"partial_rotary_factor\" is " + std::to_string(share) +
                        "; expected 1: this family rotates whole heads");
    spec.rope = read_rope(config, spec.head_dim, spec.max_positions);
    return spec;
}

void add_gated_decoder_tensors(ModelSpec& spec, const GatedDecoderBiases& biases) {
    SpecBuilder builder(spec);
    const std::size_t hidden = spec.hidden_size;
    const std::size_t q_width = spec.n_heads * spec.head_dim;
    const std::size_t kv_width = spec.n_kv_heads * spec.head_dim;
    const std::size_t ffn = spec.intermediate_size;

    builder.add_embedding(Role::token_embedding, "model.embed_tokens", spec.vocab_size, hidden);
    builder.add_unit("embedding", {Role::token_embedding},
                     spec.tied_head ? Signal::head_in : Signal::token_ids);
    for (std::size_t block = 0; block < spec.n_blocks; ++block) {
        const std::string layer = "model.layers." + std::to_string(block);
        const std::string attention = layer + ".self_attn.";
        const std::string mlp = layer + ".mlp.";
        builder.enter_block(block);
        builder.add_norm(Role::attention_norm, layer + ".input_layernorm", hidden);
        builder.add_linear(Role::q_proj, attention + "q_proj", q_width, hidden, biases.qkv);
        builder.add_linear(Role::k_proj, attention + "k_proj", kv_width, hidden, biases.qkv);
        builder.add_linear(Role::v_proj, attention + "v_proj", kv_width, hidden, biases.qkv);
        builder.add_linear(Role::o_proj, attention + "o_proj", hidden, q_width, biases.o);
        builder.add_norm(Role::mlp_norm, layer + ".post_attention_layernorm", hidden);
        builder.add_linear(Role::gate_proj, mlp + "gate_proj", ffn, hidden, biases.mlp);
        builder.add_linear(Role::up_proj, mlp + "up_proj", ffn, hidden, biases.mlp);
        builder.add_linear(Role::down_proj, mlp + "down_proj", hidden, ffn, biases.mlp);
        builder.add_unit("qkv", {Role::q_proj, Role::k_proj, Role::v_proj}, Signal::attention_in);
        builder.add_unit("o", {Role::o_proj}, Signal::attention_out);
        builder.add_unit("gate_up", {Role::gate_proj, Role::up_proj}, Signal::mlp_in);
        builder.add_unit("down", {Role::down_proj}, Signal::mlp_hidden);
    }
    builder.enter_block(std::nullopt);
    builder.add_norm(Role::final_norm, "model.norm", hidden);
    if (spec.tied_head) return;
    builder.add_linear(Role::lm_head, "lm_head", spec.vocab_size, hidden);
    builder.add_unit("head", {Role::lm_head}, Signal::head_in);
}

}  // namespace lathe
