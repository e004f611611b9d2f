#include "lib/model/common_config.hpp"

#include <map>

#include "lib/core/errors.hpp"
#include "lib/model/rope.hpp"

namespace lathe {
namespace {

void read_heads(const ConfigReader& config, const SizeKeys& keys, ModelSpec& spec) {
    spec.n_heads = config.integer(keys.heads, size_limits::heads);
    spec.n_kv_heads = spec.n_heads;
    const std::string heads = std::string(keys.heads) + " = " + std::to_string(spec.n_heads);
    if (!keys.kv_heads.empty()) {
        spec.n_kv_heads =
            config.optional_integer(keys.kv_heads, size_limits::heads).value_or(spec.n_heads);
        if (spec.n_heads % spec.n_kv_heads != 0)
            config.refuse(keys.kv_heads, "a divisor of " + heads);
    }
    const auto head_dim = keys.head_dim.empty()
                              ? std::nullopt
                              : config.optional_integer(keys.head_dim, size_limits::head_dim);
    if (!head_dim && spec.hidden_size % spec.n_heads != 0)
        config.refuse(keys.hidden, "a multiple of " + heads + ", as there is no head_dim");
    spec.head_dim = head_dim.value_or(spec.hidden_size / spec.n_heads);
}

/// Fills windows for the blocks that `layer_types` calls "sliding_attention".
void read_layer_types(const ConfigReader& config, std::optional<std::size_t> window,
                      ModelSpec& spec) {
    const std::vector<std::string> types = config.strings("layer_types");
    if (types.size() != spec.n_blocks)
        config.refuse("layer_types",
                      "one entry for each of the " + std::to_string(spec.n_blocks) + " blocks");
    for (const std::string& type : types) {
        const bool slides = type == "sliding_attention";
        if (slides && !window)
            config.refuse("layer_types",
                          "no \"sliding_attention\": there is no window (use_sliding_window, "
                          "sliding_window)");
        if (!slides && type != "full_attention")
            config.unsupported("layer_types", "\"full_attention\" and \"sliding_attention\" only");
        if (window) spec.windows.push_back(slides ? *window : 0);
    }
}

}  // namespace

ModelSpec read_sizes(const ConfigReader& config, const SizeKeys& keys) {
    ModelSpec spec;
    spec.hidden_size = config.integer(keys.hidden, size_limits::hidden);
    spec.embedding_size = spec.hidden_size;
    spec.n_blocks = config.integer(keys.blocks, size_limits::blocks);
    read_heads(config, keys, spec);
    spec.vocab_size = config.integer("vocab_size", size_limits::vocab);
    spec.norm_epsilon = static_cast<float>(
        keys.epsilon.empty() ? keys.fixed_epsilon
                             : config.number(keys.epsilon, {.low = 0.0, .high = 1.0}));
    spec.tied_head = config.boolean("tie_word_embeddings");
    spec.eos_ids = config.token_ids("eos_token_id");
    return spec;
}

Activation read_activation(const ConfigReader& config, std::string_view key) {
    static const std::map<std::string, Activation, std::less<>> known{
        {"gelu", Activation::gelu},
        {"gelu_accurate", Activation::gelu_tanh},
        {"gelu_fast", Activation::gelu_tanh},
        {"gelu_new", Activation::gelu_tanh},
        {"gelu_python", Activation::gelu},
        {"gelu_python_tanh", Activation::gelu_tanh},
        {"gelu_pytorch_tanh", Activation::gelu_tanh},
        {"relu", Activation::relu},
        {"silu", Activation::silu},
        {"swish", Activation::silu},
    };
    const auto found = known.find(config.string(key));
    if (found != known.end()) return found->second;
    std::string names;
    for (const auto& [name, kind] : known) names += (names.empty() ? "" : ", ") + name;
    config.unsupported(key, "one of the supported activations: " + names);
    return Activation::gelu;
}

void read_rotary_positions(const ConfigReader& config, ModelSpec& spec, const RopeKeys& keys) {
    const double share = read_rotated_share(config, keys);
    const auto width = static_cast<std::size_t>(static_cast<double>(spec.head_dim) * share);
    if (width < 2 || width % 2 != 0)
        throw DataError(config.where() + ": rotary positions on " + std::to_string(width) + " of " +
                        std::to_string(spec.head_dim) + " elements of a head (head_dim, " +
                        std::string(keys.share) + "); expected an even number: they act on pairs");
    spec.rope = read_rope(config, width, spec.max_positions, keys);
}

void read_sliding_window(const ConfigReader& config, ModelSpec& spec) {
    const auto window = config.optional_integer("sliding_window", size_limits::positions);
    if (window) spec.windows.assign(spec.n_blocks, *window);
}

void read_listed_windows(const ConfigReader& config, ModelSpec& spec) {
    if (!config.has("layer_types")) return read_sliding_window(config, spec);
    read_layer_types(config, config.optional_integer("sliding_window", size_limits::positions),
                     spec);
}

void read_layer_windows(const ConfigReader& config, ModelSpec& spec) {
    const auto size = config.optional_integer("sliding_window", size_limits::positions);
    const auto window = config.boolean("use_sliding_window") ? size : std::nullopt;
    if (config.has("layer_types")) return read_layer_types(config, window, spec);
    const std::size_t first = config.integer("max_window_layers", {.low = 0});
    for (std::size_t block = 0; window && block < spec.n_blocks; ++block)
        spec.windows.push_back(block >= first ? *window : 0);
}

std::vector<std::string> read_labels(const ConfigReader& config) {
    std::vector<std::string> labels;
    auto names = config.object("id2label");
    const auto count = config.optional_integer("num_labels", {.low = 1, .high = 1U << 20});
    if (names && count && *count != names->size()) names.reset();
    const std::size_t n = names ? names->size() : count.value_or(2);
    if (n == 0) config.refuse("id2label", "a label \"0\"");
    for (std::size_t i = 0; i < n; ++i) {
        const auto name = names ? names->optional_string(std::to_string(i)) : std::nullopt;
        labels.push_back(name.value_or("LABEL_" + std::to_string(i)));
    }
    return labels;
}

}  // namespace lathe
