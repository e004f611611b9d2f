#include "lib/model/llama_kind.hpp"

#include "lib/core/errors.hpp"
#include "lib/model/common_config.hpp"
#include "lib/model/rope.hpp"

namespace lathe {

ModelSpec read_llama_kind(const ConfigReader& config, bool partial_rotary) {
    ModelSpec spec = read_sizes(config, {.epsilon = "rms_norm_eps", .default_epsilon = 1e-6});
    spec.intermediate_size = config.integer("intermediate_size", size_limits::intermediate);
    spec.max_positions = config.integer("max_position_embeddings", size_limits::positions);
    spec.activation = read_activation(config, "hidden_act", Activation::silu);
    const double share = read_partial_rotary_factor(config).value_or(1.0);
    if (share != 1.0 && !partial_rotary)
        throw DataError(config.where() + ": \"partial_rotary_factor\" is " + std::to_string(share) +
                        "; expected 1: this family rotates whole heads");
    read_rotary_positions(config, spec);
    return spec;
}

}  // namespace lathe
