#include "lib/model/llama_kind.hpp"

#include "lib/model/common_config.hpp"

namespace lathe {

ModelSpec read_llama_kind(const ConfigReader& config, const RopeKeys& rope) {
    ModelSpec spec = read_sizes(
        config,
        {.kv_heads = "num_key_value_heads", .head_dim = "head_dim", .epsilon = "rms_norm_eps"});
    spec.intermediate_size = config.integer("intermediate_size", size_limits::intermediate);
    spec.max_positions = config.integer("max_position_embeddings", size_limits::positions);
    spec.activation = read_activation(config, "hidden_act");
    read_rotary_positions(config, spec, rope);
    return spec;
}

ModelSpec read_llama_kind(const ConfigReader& config) {
    const double share = read_rotated_share(config);
    if (share != 1.0)
        config.unsupported("\"partial_rotary_factor\" is " + std::to_string(share) +
                           "; expected 1: this family rotates whole heads");
    return read_llama_kind(config, RopeKeys{});
}

}  // namespace lathe
