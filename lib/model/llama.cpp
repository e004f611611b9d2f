#include "lib/model/config_reader.hpp"
#include "lib/model/families.hpp"
#include "lib/model/llama_kind.hpp"

namespace lathe {
namespace {

ModelSpec read_llama(const ConfigReader& config) {
    ModelSpec spec = read_llama_kind(config);
    const bool attention_bias = config.boolean("attention_bias");
    add_transformer_tensors(spec, llama_names,
                            {.qkv_bias = attention_bias,
                             .o_bias = attention_bias,
                             .mlp_bias = config.boolean("mlp_bias")});
    return spec;
}

}  // namespace

FamilyRow llama_family() {
    return {.model_type = "llama",
            .prefix = "model.",
            .head = "lm_head.weight",
            .buffers = rotary_buffers,
            .read = read_llama,
            .bias_keys = "attention_bias, mlp_bias"};
}

}  // namespace lathe
