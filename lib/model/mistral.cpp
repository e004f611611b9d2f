#include <array>

#include "lib/model/common_config.hpp"
#include "lib/model/families.hpp"
#include "lib/model/llama_kind.hpp"

namespace lathe {
namespace {

constexpr std::array<std::string_view, 1> buffers{".rotary_emb.inv_freq"};

ModelSpec read_mistral(const nlohmann::json& json, const std::string& where) {
    const ConfigReader config(json, where);
    ModelSpec spec = read_llama_kind(config);
    read_sliding_windows(config, spec);
    add_transformer_tensors(spec, llama_names, {});
    return spec;
}

}  // namespace

FamilyRow mistral_family() {
    return {.model_type = "mistral",
            .prefix = "model.",
            .head = "lm_head.weight",
            .buffers = buffers,
            .read = read_mistral};
}

}  // namespace lathe
