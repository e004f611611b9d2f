#include <array>

#include "lib/model/config_reader.hpp"
#include "lib/model/families.hpp"
#include "lib/model/llama_kind.hpp"

namespace lathe {
namespace {

/// Checkpoints of 2023 carry the frequencies of each block; they follow from config.json.
constexpr std::array<std::string_view, 1> buffers{".rotary_emb.inv_freq"};

ModelSpec read_llama(const nlohmann::json& json, const std::string& where) {
    const ConfigReader config(json, where);
    ModelSpec spec = read_llama_kind(config);
    const bool attention_bias = config.boolean("attention_bias", false);
    add_transformer_tensors(spec, llama_names,
                            {.qkv_bias = attention_bias,
                             .o_bias = attention_bias,
                             .mlp_bias = config.boolean("mlp_bias", false)});
    return spec;
}

}  // namespace

FamilyRow llama_family() {
    return {.model_type = "llama",
            .prefix = "model.",
            .head = "lm_head.weight",
            .buffers = buffers,
            .read = read_llama};
}

}  // namespace lathe
