#include "workers/exports/gguf/architecture.hpp"

#include <algorithm>
#include <array>
#include <numeric>

#include "lib/core/errors.hpp"
#include "lib/model/rope.hpp"
#include "lib/model/stream.hpp"
#include "workers/model/weight_source.hpp"

namespace lathe::gguf {
namespace {

struct Architecture {
    std::string_view family;
    std::string_view name;
    bool is_gated = false;  ///< silu; else gelu, which ggml takes from a table
    bool rows_in_pairs = false;
    bool reads_divisors = false;  ///< the tensor rope_freqs.weight
    bool takes_biases = true;     ///< of attention, where the family may have them or not
};

constexpr std::array architectures{
    Architecture{"llama", "llama", true, true, true},
    Architecture{"mistral", "llama", true, true, true},
    Architecture{"qwen2", "qwen2", true},
    Architecture{"qwen3", "qwen3", true, false, false, false},
    Architecture{"gpt2", "gpt2"},
    Architecture{"phi", "phi2"},
    Architecture{"bloom", "bloom"},
    Architecture{"gpt_neox", "gptneox"},
};

const Architecture* find_architecture(const ModelSpec& spec) {
    const auto* const found = std::ranges::find(architectures, spec.family, &Architecture::family);
    return found == architectures.end() ? nullptr : found;
}

const Architecture& architecture_of(const ModelSpec& spec) {
    const Architecture* found = find_architecture(spec);
    if (found == nullptr) {
        throw InternalError("GGUF has no architecture for family " + spec.family);
    }
    return *found;
}

bool is_windowed(const ModelSpec& spec) {
    return std::ranges::any_of(spec.windows, [&](std::size_t window) {
        return window != 0 && window < spec.max_positions;
    });
}

std::string_view stem(Role role) {
    switch (role) {
        case Role::token_embedding:
            return "token_embd";
        case Role::position_embedding:
            return "position_embd";
        case Role::embedding_norm:
            return "token_embd_norm";
        case Role::attention_norm:
            return "attn_norm";
        case Role::qkv_proj:
            return "attn_qkv";
        case Role::q_proj:
            return "attn_q";
        case Role::k_proj:
            return "attn_k";
        case Role::v_proj:
            return "attn_v";
        case Role::q_norm:
            return "attn_q_norm";
        case Role::k_norm:
            return "attn_k_norm";
        case Role::o_proj:
            return "attn_output";
        case Role::mlp_norm:
            return "ffn_norm";
        case Role::gate_proj:
            return "ffn_gate";
        case Role::up_proj:
            return "ffn_up";
        case Role::down_proj:
            return "ffn_down";
        case Role::final_norm:
            return "output_norm";
        case Role::lm_head:
            return "output";
        default:
            throw InternalError("GGUF has no name for " + std::string(name(role)));
    }
}

/// Rows of `n_heads` heads, each from halves (i, i + d / 2) to pairs.
std::vector<std::uint32_t> in_pairs(std::size_t rows, std::size_t head_dim) {
    std::vector<std::uint32_t> order(rows);
    for (std::size_t i = 0; i < rows; ++i) {
        const std::size_t in_head = i % head_dim;
        order[i] =
            static_cast<std::uint32_t>(i - in_head + in_head % 2 * (head_dim / 2) + in_head / 2);
    }
    return order;
}

}  // namespace

std::string refuses(const ModelSpec& spec) {
    const Architecture* architecture = find_architecture(spec);
    if (architecture == nullptr || spec.head != HeadKind::language_model) {
        std::string known;
        for (const Architecture& each : architectures) {
            known += (known.empty() ? "" : ", ") + std::string(each.family);
        }
        return "there is no architecture for models of family " + spec.family +
               (architecture == nullptr ? "" : " that classify") +
               "; expected a language model of " + known;
    }
    if (spec.is_sliced()) {
        return reason_not_stock(spec);
    }
    if (is_windowed(spec)) {
        return "llama.cpp's architecture \"" + std::string(architecture->name) +
               "\" ignores the model's sliding window of " +
               std::to_string(*std::ranges::max_element(spec.windows)) +
               " tokens and computes something else behind it";
    }
    if (architecture->is_gated != (spec.activation == Activation::silu) ||
        spec.activation == Activation::relu) {
        return "llama.cpp's architecture \"" + std::string(architecture->name) +
               "\" has another activation than the model's, " + std::string(name(spec.activation));
    }
    if (!architecture->takes_biases && spec.find(Role::q_proj, 0, true)) {
        return "llama.cpp's architecture \"" + std::string(architecture->name) +
               "\" has no biases in attention";
    }
    if (spec.rope.attention_factor != 1.0) {
        return "rotary positions of kind " + spec.rope.kind + " have no keys here";
    }
    if (spec.rope.kind == "llama3" && !architecture->reads_divisors) {
        return "llama.cpp's architecture \"" + std::string(architecture->name) +
               "\" has no rotary positions of kind llama3";
    }
    return "";
}

std::vector<Key> model_keys(const ModelSpec& spec, std::size_t intermediate_size) {
    const Architecture& architecture = architecture_of(spec);
    const std::string a = std::string(architecture.name) + ".";
    std::vector<Key> keys{{"general.architecture", std::string(architecture.name)},
                          {"general.quantization_version", std::uint32_t{2}}};
    const auto number = [&](const std::string& key, std::size_t value) {
        keys.push_back({a + key, static_cast<std::uint32_t>(value)});
    };
    number("context_length", spec.max_positions);
    number("embedding_length", spec.hidden_size);
    number("block_count", spec.n_blocks);
    number("feed_forward_length", intermediate_size);
    number("attention.head_count", spec.n_heads);
    number("attention.head_count_kv", spec.n_kv_heads);
    number("vocab_size", spec.vocab_size);
    keys.push_back({a + (spec.norm == NormKind::rms ? "attention.layer_norm_rms_epsilon"
                                                    : "attention.layer_norm_epsilon"),
                    spec.norm_epsilon});
    if (architecture.is_gated) {
        number("attention.key_length", spec.head_dim);
        number("attention.value_length", spec.head_dim);
    }
    if (!spec.rope.inv_freq.empty()) {
        number("rope.dimension_count", 2 * spec.rope.inv_freq.size());
        keys.push_back({a + "rope.freq_base", static_cast<float>(spec.rope.theta)});
    }
    if (spec.rope.kind == "linear") {
        keys.push_back({a + "rope.scaling.type", std::string("linear")});
        keys.push_back(
            {a + "rope.scaling.factor", static_cast<float>(1.0 / spec.rope.inv_freq.front())});
    }
    if (architecture.name == "gptneox") {
        keys.push_back({a + "use_parallel_residual", spec.form == BlockForm::parallel});
    }
    return keys;
}

std::string tensor_name(const TensorSpec& tensor) {
    const std::string block = tensor.block ? "blk." + std::to_string(*tensor.block) + "." : "";
    return block + std::string(stem(tensor.role)) + (tensor.is_bias ? ".bias" : ".weight");
}

std::vector<std::uint32_t> row_order(const ModelSpec& spec, const TensorSpec& tensor) {
    if (architecture_of(spec).rows_in_pairs &&
        (tensor.role == Role::q_proj || tensor.role == Role::k_proj)) {
        return in_pairs(tensor.shape.at(0), spec.head_dim);
    }
    if (tensor.fused.n_groups <= 1 || tensor.fused.parts.empty()) {
        return {};
    }
    std::vector<std::uint32_t> order;
    for (const std::vector<std::uint32_t>& part : rows_of_parts(tensor)) {
        order.insert(order.end(), part.begin(), part.end());
    }
    return order;
}

std::vector<float> rope_divisors(const ModelSpec& spec) {
    if (spec.rope.kind != "llama3") {
        return {};
    }
    const std::vector<float> plain =
        unscaled_frequencies(spec.rope.theta, 2 * spec.rope.inv_freq.size());
    std::vector<float> divisors(plain.size());
    for (std::size_t i = 0; i < plain.size(); ++i) {
        divisors[i] = static_cast<float>(plain[i] / spec.rope.inv_freq[i]);
    }
    return divisors;
}

}  // namespace lathe::gguf
