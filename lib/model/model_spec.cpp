#include "lib/model/model_spec.hpp"

#include <algorithm>

namespace lathe {

std::string_view name(Role role) noexcept {
    switch (role) {
        case Role::token_embedding:
            return "token_embedding";
        case Role::attention_norm:
            return "attention_norm";
        case Role::q_proj:
            return "q_proj";
        case Role::k_proj:
            return "k_proj";
        case Role::v_proj:
            return "v_proj";
        case Role::o_proj:
            return "o_proj";
        case Role::mlp_norm:
            return "mlp_norm";
        case Role::gate_proj:
            return "gate_proj";
        case Role::up_proj:
            return "up_proj";
        case Role::down_proj:
            return "down_proj";
        case Role::final_norm:
            return "final_norm";
        case Role::lm_head:
            return "lm_head";
    }
    return "unknown";
}

std::string_view name(Signal signal) noexcept {
    switch (signal) {
        case Signal::attention_in:
            return "attention_in";
        case Signal::attention_out:
            return "attention_out";
        case Signal::mlp_in:
            return "mlp_in";
        case Signal::mlp_hidden:
            return "mlp_hidden";
        case Signal::head_in:
            return "head_in";
        case Signal::token_ids:
            return "token_ids";
    }
    return "unknown";
}

std::optional<std::size_t> ModelSpec::find(Role role, std::optional<std::size_t> block,
                                           bool is_bias) const {
    const auto found = std::ranges::find_if(tensors, [&](const TensorSpec& tensor) {
        return tensor.role == role && tensor.block == block && tensor.is_bias == is_bias;
    });
    if (found == tensors.end()) return std::nullopt;
    return static_cast<std::size_t>(found - tensors.begin());
}

std::uint64_t ModelSpec::parameters() const {
    std::uint64_t sum = 0;
    for (const TensorSpec& tensor : tensors) sum += element_count(tensor.shape);
    return sum;
}

}  // namespace lathe
