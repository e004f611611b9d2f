#include "lib/model/common_config.hpp"
#include "lib/model/families.hpp"
#include "lib/model/llama_kind.hpp"

namespace lathe {
namespace {

ModelSpec read_phi3(const ConfigReader& config) {
    ModelSpec spec = read_llama_kind(config, {.scales = false});
    read_sliding_window(config, spec);
    TransformerNames names = llama_names;
    names.q = names.k = names.v = {};
    names.qkv = "self_attn.qkv_proj";
    names.gate = names.up = {};
    names.gate_up = "mlp.gate_up_proj";
    add_transformer_tensors(spec, names, {});
    return spec;
}

}  // namespace

FamilyRow phi3_family() {
    return {.model_type = "phi3",
            .prefix = "model.",
            .head = "lm_head.weight",
            .buffers = rotary_buffers,
            .read = read_phi3};
}

}  // namespace lathe
