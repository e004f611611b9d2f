#include "lib/model/config_defaults.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <string>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"

namespace lathe {
namespace {

struct FamilyDefaults {
    std::string_view family;
    std::string_view keys;  ///< a JSON object
};

// From the configuration classes of transformers 5.24.0. Where a class of version 4 differs, the
// library's present answer is taken.
constexpr std::array table{
    FamilyDefaults{"llama", R"({
        "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": null,
        "head_dim": null, "max_position_embeddings": 2048, "hidden_act": "silu",
        "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "eos_token_id": 2,
        "attention_bias": false, "mlp_bias": false,
        "rope_theta": 10000.0, "rope_scaling": null, "rope_parameters": null,
        "partial_rotary_factor": null, "original_max_position_embeddings": null})"},
    FamilyDefaults{"mistral", R"({
        "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
        "head_dim": null, "max_position_embeddings": 131072, "hidden_act": "silu",
        "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "eos_token_id": 2,
        "sliding_window": 4096, "layer_types": null,
        "rope_theta": 10000.0, "rope_scaling": null, "rope_parameters": null,
        "partial_rotary_factor": null, "original_max_position_embeddings": null})"},
    FamilyDefaults{"qwen2", R"({
        "vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
        "head_dim": null, "max_position_embeddings": 32768, "hidden_act": "silu",
        "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "eos_token_id": null,
        "use_sliding_window": false, "sliding_window": 4096, "max_window_layers": 28,
        "layer_types": null,
        "rope_theta": 10000.0, "rope_scaling": null, "rope_parameters": null,
        "partial_rotary_factor": null, "original_max_position_embeddings": null})"},
    FamilyDefaults{"qwen3", R"({
        "vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
        "head_dim": 128, "max_position_embeddings": 32768, "hidden_act": "silu",
        "rms_norm_eps": 1e-6, "tie_word_embeddings": false, "eos_token_id": null,
        "attention_bias": false,
        "use_sliding_window": false, "sliding_window": 4096, "max_window_layers": 28,
        "layer_types": null,
        "rope_theta": 10000.0, "rope_scaling": null, "rope_parameters": null,
        "partial_rotary_factor": null, "original_max_position_embeddings": null})"},
    FamilyDefaults{"phi3", R"({
        "vocab_size": 32064, "hidden_size": 3072, "intermediate_size": 8192,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": null,
        "head_dim": null, "max_position_embeddings": 4096, "hidden_act": "silu",
        "rms_norm_eps": 1e-5, "tie_word_embeddings": false, "eos_token_id": 32000,
        "sliding_window": null,
        "rope_theta": 10000.0, "rope_scaling": null, "rope_parameters": null,
        "partial_rotary_factor": 1.0, "original_max_position_embeddings": 4096})"},
    FamilyDefaults{"opt", R"({
        "vocab_size": 50272, "hidden_size": 768, "ffn_dim": 3072,
        "num_hidden_layers": 12, "num_attention_heads": 12,
        "max_position_embeddings": 2048, "activation_function": "relu",
        "tie_word_embeddings": true, "eos_token_id": 2,
        "word_embed_proj_dim": null, "do_layer_norm_before": true,
        "_remove_final_layer_norm": false, "enable_bias": true,
        "layer_norm_elementwise_affine": true})"},
    FamilyDefaults{"phi", R"({
        "vocab_size": 51200, "hidden_size": 2048, "intermediate_size": 8192,
        "num_hidden_layers": 24, "num_attention_heads": 32, "num_key_value_heads": null,
        "head_dim": null, "max_position_embeddings": 2048, "hidden_act": "gelu_new",
        "layer_norm_eps": 1e-5, "tie_word_embeddings": false, "eos_token_id": 2,
        "qk_layernorm": false,
        "rope_theta": 10000.0, "rope_scaling": null, "rope_parameters": null,
        "partial_rotary_factor": 0.5, "original_max_position_embeddings": null})"},
    FamilyDefaults{"gpt2", R"({
        "vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12,
        "n_inner": null, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5,
        "tie_word_embeddings": true, "eos_token_id": 50256,
        "scale_attn_weights": true, "scale_attn_by_inverse_layer_idx": false,
        "add_cross_attention": false})"},
    FamilyDefaults{"gpt_neox", R"({
        "vocab_size": 50432, "hidden_size": 6144, "intermediate_size": 24576,
        "num_hidden_layers": 44, "num_attention_heads": 64,
        "max_position_embeddings": 2048, "hidden_act": "gelu",
        "layer_norm_eps": 1e-5, "tie_word_embeddings": false, "eos_token_id": 2,
        "use_parallel_residual": true, "attention_bias": true,
        "rotary_emb_base": 10000.0, "rope_scaling": null, "rope_parameters": null,
        "rotary_pct": 0.25, "original_max_position_embeddings": null})"},
    FamilyDefaults{"bloom", R"({
        "vocab_size": 250880, "hidden_size": 64, "n_layer": 2, "n_head": 8,
        "layer_norm_epsilon": 1e-5, "tie_word_embeddings": true, "eos_token_id": 2,
        "seq_length": null, "apply_residual_connection_post_layernorm": false})"},
    FamilyDefaults{"bert", R"({
        "vocab_size": 30522, "hidden_size": 768, "intermediate_size": 3072,
        "num_hidden_layers": 12, "num_attention_heads": 12, "type_vocab_size": 2,
        "max_position_embeddings": 512, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
        "tie_word_embeddings": true, "eos_token_id": null, "position_embedding_type": "absolute",
        "is_decoder": false, "num_labels": null, "id2label": null})"},
    FamilyDefaults{"roberta", R"({
        "vocab_size": 50265, "hidden_size": 768, "intermediate_size": 3072,
        "num_hidden_layers": 12, "num_attention_heads": 12, "type_vocab_size": 2,
        "max_position_embeddings": 512, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
        "tie_word_embeddings": true, "eos_token_id": 2, "position_embedding_type": "absolute",
        "is_decoder": false, "num_labels": null, "id2label": null, "pad_token_id": 1})"},
    FamilyDefaults{"distilbert", R"({
        "vocab_size": 30522, "dim": 768, "hidden_dim": 3072, "n_layers": 6, "n_heads": 12,
        "max_position_embeddings": 512, "activation": "gelu",
        "tie_word_embeddings": true, "eos_token_id": null, "position_embedding_type": "absolute",
        "is_decoder": false, "num_labels": null, "id2label": null})"},
};

struct OtherName {
    std::string_view family;
    std::string_view key;
    std::string_view other;
};

/// The classes' attribute_map, and BLOOM's older word for its width.
constexpr std::array other_names{
    OtherName{"gpt2", "n_embd", "hidden_size"},
    OtherName{"gpt2", "n_positions", "max_position_embeddings"},
    OtherName{"gpt2", "n_head", "num_attention_heads"},
    OtherName{"gpt2", "n_layer", "num_hidden_layers"},
    OtherName{"bloom", "n_head", "num_attention_heads"},
    OtherName{"bloom", "n_layer", "num_hidden_layers"},
    OtherName{"bloom", "hidden_size", "n_embed"},
    OtherName{"distilbert", "dim", "hidden_size"},
    OtherName{"distilbert", "n_heads", "num_attention_heads"},
    OtherName{"distilbert", "n_layers", "num_hidden_layers"},
};

}  // namespace

const nlohmann::json& config_defaults(std::string_view family) {
    static const auto parsed = [] {
        std::map<std::string, nlohmann::json, std::less<>> all;
        for (const FamilyDefaults& row : table) all.emplace(row.family, parse_json(row.keys));
        return all;
    }();
    const auto found = parsed.find(family);
    if (found == parsed.end())
        throw InternalError("no defaults for the family \"" + std::string(family) + "\"");
    return found->second;
}

std::string_view other_name(std::string_view family, std::string_view key) noexcept {
    const auto* const found = std::ranges::find_if(
        other_names, [&](const OtherName& row) { return row.family == family && row.key == key; });
    return found == other_names.end() ? std::string_view() : found->other;
}

}  // namespace lathe
