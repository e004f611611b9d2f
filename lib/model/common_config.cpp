#include "lib/model/common_config.hpp"

#include <map>

#include "lib/core/errors.hpp"
#include "lib/model/rope.hpp"

namespace lathe {
namespace {

void read_heads(const ConfigReader& config, const SizeKeys& keys, ModelSpec& spec) {
    spec.n_heads = config.integer(keys.heads, size_limits::heads);
    spec.n_kv_heads =
        config.optional_integer("num_key_value_heads", size_limits::heads).value_or(spec.n_heads);
    const std::string heads = std::string(keys.heads) + " = " + std::to_string(spec.n_heads);
    if (spec.n_heads % spec.n_kv_heads != 0)
        config.refuse("num_key_value_heads", "a divisor of " + heads);
    if (const auto head_dim = config.optional_integer("head_dim", size_limits::head_dim)) {
        spec.head_dim = *head_dim;
        return;
    }
    if (spec.hidden_size % spec.n_heads != 0)
        config.refuse(keys.hidden, "a multiple of " + heads + ", as there is no head_dim");
    spec.head_dim = spec.hidden_size / spec.n_heads;
}

}  // namespace

ModelSpec read_sizes(const ConfigReader& config, const SizeKeys& keys) {
    ModelSpec spec;
    spec.hidden_size = config.integer(keys.hidden, size_limits::hidden);
    spec.embedding_size = spec.hidden_size;
    spec.n_blocks = config.integer(keys.blocks, size_limits::blocks);
    read_heads(config, keys, spec);
    spec.vocab_size = config.integer("vocab_size", size_limits::vocab);
    spec.norm_epsilon =
        static_cast<float>(config.optional_number(keys.epsilon, {.low = 0.0, .high = 1.0})
                               .value_or(keys.default_epsilon));
    spec.tied_head = config.boolean("tie_word_embeddings", false);
    spec.eos_ids = config.token_ids("eos_token_id");
    return spec;
}

Activation read_activation(const ConfigReader& config, std::string_view key, Activation fallback) {
    static const std::map<std::string, Activation, std::less<>> known{
        {"gelu", Activation::gelu},          {"gelu_fast", Activation::gelu_tanh},
        {"gelu_new", Activation::gelu_tanh}, {"gelu_pytorch_tanh", Activation::gelu_tanh},
        {"relu", Activation::relu},          {"silu", Activation::silu},
        {"swish", Activation::silu},
    };
    const auto text = config.optional_string(key);
    if (!text) return fallback;
    const auto found = known.find(*text);
    if (found == known.end()) {
        std::string names;
        for (const auto& [name, kind] : known) names += (names.empty() ? "" : ", ") + name;
        config.refuse(key, "one of the supported activations: " + names);
    }
    return found->second;
}

void read_rotary_positions(const ConfigReader& config, ModelSpec& spec, double default_share) {
    const double share = read_partial_rotary_factor(config).value_or(default_share);
    const auto width = static_cast<std::size_t>(static_cast<double>(spec.head_dim) * share);
    if (width < 2 || width % 2 != 0)
        throw DataError(config.where() + ": rotary positions on " + std::to_string(width) + " of " +
                        std::to_string(spec.head_dim) +
                        " elements of a head (head_dim, partial_rotary_factor); expected an even "
                        "number: they act on pairs");
    spec.rope = read_rope(config, width, spec.max_positions);
}

void read_sliding_windows(const ConfigReader& config, ModelSpec& spec) {
    const auto window = config.optional_integer("sliding_window", size_limits::positions);
    if (!window || !config.boolean("use_sliding_window", true)) return;
    const std::vector<std::string> types = config.strings("layer_types");
    if (!types.empty() && types.size() != spec.n_blocks)
        config.refuse("layer_types",
                      "one entry for each of the " + std::to_string(spec.n_blocks) + " blocks");
    const std::size_t first = config.optional_integer("max_window_layers", {.low = 0}).value_or(0);
    for (std::size_t block = 0; block < spec.n_blocks; ++block) {
        const bool slides = types.empty() ? block >= first : types[block] == "sliding_attention";
        spec.windows.push_back(slides ? *window : 0);
    }
}

std::vector<std::string> read_labels(const ConfigReader& config) {
    std::vector<std::string> labels;
    if (const auto names = config.object("id2label")) {
        while (const auto label = names->optional_string(std::to_string(labels.size())))
            labels.push_back(*label);
        if (labels.empty()) config.refuse("id2label", "a label \"0\"");
        return labels;
    }
    const std::size_t n =
        config.optional_integer("num_labels", {.low = 1, .high = 1U << 20}).value_or(2);
    for (std::size_t i = 0; i < n; ++i) labels.push_back("LABEL_" + std::to_string(i));
    return labels;
}

}  // namespace lathe
