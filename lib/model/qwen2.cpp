#include "lib/model/common_config.hpp"
#include "lib/model/families.hpp"
#include "lib/model/llama_kind.hpp"

namespace lathe {
namespace {

ModelSpec read_qwen2(const ConfigReader& config) {
    ModelSpec spec = read_llama_kind(config);
    read_layer_windows(config, spec);
    add_transformer_tensors(spec, llama_names, {.qkv_bias = true});
    return spec;
}

}  // namespace

FamilyRow qwen2_family() {
    return {.model_type = "qwen2",
            .prefix = "model.",
            .head = "lm_head.weight",
            .buffers = rotary_buffers,
            .read = read_qwen2};
}

}  // namespace lathe
