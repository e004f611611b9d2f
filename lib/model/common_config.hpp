#pragma once

#include <string>
#include <string_view>

#include "lib/core/activation.hpp"
#include "lib/model/config_reader.hpp"
#include "lib/model/model_spec.hpp"
#include "lib/model/rope.hpp"

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

/// What a family calls its sizes in config.json; "": it has no such key, and does not look at one
/// that is there.
struct SizeKeys {
    std::string_view hidden = "hidden_size";
    std::string_view blocks = "num_hidden_layers";
    std::string_view heads = "num_attention_heads";
    std::string_view kv_heads{};
    std::string_view head_dim{};
    std::string_view epsilon = "layer_norm_eps";
    double fixed_epsilon = 1e-5;  ///< of a family without a key for it
};

/// Reads what all families have: hidden size, blocks, heads (grouped, and of a head_dim of their
/// own, where the config says so), vocabulary, norm epsilon, tying, end of text. Everything else
/// keeps its default, or, like `family` and the tensor lists, is left to the caller.
/// @throws DataError  missing or absurd sizes, heads that do not divide
[[nodiscard]] ModelSpec read_sizes(const ConfigReader& config, const SizeKeys& keys = {});

/// The activation under `key`, by any of the names that transformers has for silu, gelu, gelu by
/// tanh, and relu.
/// @throws DataError  another one
[[nodiscard]] Activation read_activation(const ConfigReader& config, std::string_view key);

/// Fills rope over the share of each head that is rotated.
/// @throws DataError  what read_rope() refuses; a rotated width that is odd or nothing
void read_rotary_positions(const ConfigReader& config, ModelSpec& spec, const RopeKeys& keys = {});

/// Fills windows from `sliding_window`: the same for all blocks, as Phi-3 has it.
void read_sliding_window(const ConfigReader& config, ModelSpec& spec);

/// As Mistral has it: the same for all blocks, or, if there are `layer_types`, for those that it
/// calls "sliding_attention". (transformers takes such a model for a Ministral.)
void read_listed_windows(const ConfigReader& config, ModelSpec& spec);

/// Fills windows as Qwen has it: if `use_sliding_window`, the blocks that `layer_types` calls
/// "sliding_attention", or without that list those from `max_window_layers` on.
/// @throws DataError  a list that is not one for each block, or asks for a window that is not there
void read_layer_windows(const ConfigReader& config, ModelSpec& spec);

/// The names of a classifier's outputs: as many as `id2label` has, LABEL_i where it has none for
/// number i; without it, or if `num_labels` is another number, LABEL_0 .. for `num_labels` (default
/// 2).
[[nodiscard]] std::vector<std::string> read_labels(const ConfigReader& config);

}  // namespace lathe
