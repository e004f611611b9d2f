#pragma once

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

/// Reads what all decoders of the Llama kind (RMSNorm, grouped-query attention, gated MLP, rotary
/// positions on whole heads) spell alike in config.json: sizes, norm epsilon, tying, rope, end of
/// text. The tensor lists stay empty. `family` is left to the caller.
/// @throws DataError  missing or absurd sizes, heads that do not divide, an odd head_dim, an
///   activation other than SiLU, a partial rotary embedding
[[nodiscard]] ModelSpec read_gated_decoder(const ConfigReader& config);

/// Which linear layers of a block carry a bias.
struct GatedDecoderBiases {
    bool qkv = false;
    bool o = false;
    bool mlp = false;
};

/// Fills the tensor and unit lists with the names of the Llama kind
/// ("model.layers.0.self_attn..."), for the sizes in `spec`. Order in a block: attention_norm, q,
/// k, v, o, mlp_norm, gate, up, down, each bias after its weight. With a tied head the embedding's
/// unit is fed by head_in.
void add_gated_decoder_tensors(ModelSpec& spec, const GatedDecoderBiases& biases);

}  // namespace lathe
