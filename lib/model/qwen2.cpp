#include "lib/model/common_config.hpp"
#include "lib/model/families.hpp"
#include "lib/model/llama_kind.hpp"

namespace lathe {
namespace {

ModelSpec read_qwen2(const nlohmann::json& json, const std::string& where) {
    const ConfigReader config(json, where);
    ModelSpec spec = read_llama_kind(config);
    if (config.boolean("use_sliding_window", false)) read_sliding_windows(config, spec);
    add_transformer_tensors(spec, llama_names, {.qkv_bias = true});
    return spec;
}

}  // namespace

FamilyRow qwen2_family() {
    return {.model_type = "qwen2",
            .prefix = "model.",
            .head = "lm_head.weight",
            .buffers = {},
            .read = read_qwen2};
}

}  // namespace lathe
