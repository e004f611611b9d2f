#include "lib/model/common_config.hpp"
#include "lib/model/families.hpp"
#include "lib/model/llama_kind.hpp"

namespace lathe {
namespace {

ModelSpec read_qwen3(const ConfigReader& config) {
    ModelSpec spec = read_llama_kind(config);
    read_layer_windows(config, spec);
    const bool bias = config.boolean("attention_bias");
    TransformerNames names = llama_names;
    names.q_norm = "self_attn.q_norm";
    names.k_norm = "self_attn.k_norm";
    add_transformer_tensors(spec, names, {.qkv_bias = bias, .o_bias = bias});
    return spec;
}

}  // namespace

FamilyRow qwen3_family() {
    return {.model_type = "qwen3",
            .prefix = "model.",
            .head = "lm_head.weight",
            .buffers = rotary_buffers,
            .read = read_qwen3,
            .bias_keys = "attention_bias"};
}

}  // namespace lathe
