#pragma once

#include <string>
#include <string_view>

#include "lib/core/activation.hpp"
#include "lib/model/config_reader.hpp"
#include "lib/model/model_spec.hpp"

namespace lathe {

/// Absurdity limits, common to all families. They also keep every product of sizes, and the sum
/// over all blocks, inside 64 bits.
namespace size_limits {
inline constexpr IntegerRange hidden{.low = 1, .high = 1U << 20};
inline constexpr IntegerRange intermediate{.low = 1, .high = 1U << 24};
inline constexpr IntegerRange blocks{.low = 1, .high = 10000};
inline constexpr IntegerRange heads{.low = 1, .high = 1U << 14};
inline constexpr IntegerRange head_dim{.low = 2, .high = 1U << 12};
inline constexpr IntegerRange vocab{.low = 1};
inline constexpr IntegerRange positions{.low = 1};
}  // namespace size_limits

/// What a family calls its sizes in config.json.
struct SizeKeys {
    std::string_view hidden = "hidden_size";
    std::string_view blocks = "num_hidden_layers";
    std::string_view heads = "num_attention_heads";
    std::string_view epsilon = "layer_norm_eps";
    double default_epsilon = 1e-5;
};

/// Reads what all families have: hidden size, blocks, heads (grouped, and of a head_dim of their
/// own, where the config says so), vocabulary, norm epsilon, tying, end of text. Everything else
/// keeps its default, or, like `family` and the tensor lists, is left to the caller.
/// @throws DataError  missing or absurd sizes, heads that do not divide
[[nodiscard]] ModelSpec read_sizes(const ConfigReader& config, const SizeKeys& keys = {});

/// The activation under `key`, or `fallback` if the key is missing: silu (swish), gelu, gelu_new
/// (gelu_pytorch_tanh, gelu_fast), relu.
/// @throws DataError  another one
[[nodiscard]] Activation read_activation(const ConfigReader& config, std::string_view key,
                                         Activation fallback);

/// Fills rope over `partial_rotary_factor` of each head (if the config has none: `default_share`).
/// @throws DataError  what read_rope() refuses; a rotated width that is odd or nothing
void read_rotary_positions(const ConfigReader& config, ModelSpec& spec, double default_share = 1.0);

/// Fills windows from `sliding_window` for the blocks that have one: all of them, or those that
/// `layer_types` calls "sliding_attention", or those from `max_window_layers` on.
void read_sliding_windows(const ConfigReader& config, ModelSpec& spec);

/// The names of a classifier's outputs, `id2label`; else LABEL_0 .. for `num_labels` (default 2).
[[nodiscard]] std::vector<std::string> read_labels(const ConfigReader& config);

}  // namespace lathe
