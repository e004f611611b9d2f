#include "lib/model/common_config.hpp"
#include "lib/model/families.hpp"
#include "lib/model/llama_kind.hpp"

namespace lathe {
namespace {

ModelSpec read_mistral(const ConfigReader& config) {
    ModelSpec spec = read_llama_kind(config);
    read_listed_windows(config, spec);
    add_transformer_tensors(spec, llama_names, {});
    return spec;
}

}  // namespace

FamilyRow mistral_family() {
    return {.model_type = "mistral",
            .prefix = "model.",
            .head = "lm_head.weight",
            .buffers = rotary_buffers,
            .read = read_mistral};
}

}  // namespace lathe
