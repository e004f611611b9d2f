#include "lib/model/model_spec.hpp"

#include <algorithm>
#include <array>

namespace lathe {

std::string_view name(Role role) noexcept {
    static constexpr std::array names{"token_embedding",
                                      "position_embedding",
                                      "segment_embedding",
                                      "embedding_projection",
                                      "embedding_norm",
                                      "attention_norm",
                                      "qkv_proj",
                                      "q_proj",
                                      "k_proj",
                                      "v_proj",
                                      "q_norm",
                                      "k_norm",
                                      "o_proj",
                                      "mlp_norm",
                                      "gate_up_proj",
                                      "gate_proj",
                                      "up_proj",
                                      "down_proj",
                                      "attention_shortcut",
                                      "mlp_shortcut",
                                      "final_norm",
                                      "head_projection",
                                      "lm_head",
                                      "pooler",
                                      "classifier"};
    static_assert(names.size() == static_cast<std::size_t>(Role::classifier) + 1);
    return names[static_cast<std::size_t>(role)];
}

std::string_view name(Signal signal) noexcept {
    static constexpr std::array names{"attention_in", "attention_out", "mlp_in",
                                      "mlp_hidden",   "head_in",       "classifier_in",
                                      "token_ids",    "stream_in",     "stream_mid"};
    static_assert(names.size() == static_cast<std::size_t>(Signal::stream_mid) + 1);
    return names[static_cast<std::size_t>(signal)];
}

Shape TensorSpec::source_shape() const {
    return transposed ? Shape{shape.at(1), shape.at(0)} : shape;
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
