#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/model/config_reader.hpp"
#include "lib/model/model_spec.hpp"

namespace lathe {

/// What a family calls the rope keys at the top of config.json, and which kinds it has.
struct RopeKeys {
    std::string_view theta = "rope_theta";
    std::string_view share = "partial_rotary_factor";
    bool scales = true;  ///< linear and llama3, besides default
};

/// The rotary embedding that a config.json asks for, over `rotary_dim` (even) elements of a head.
///
/// Both spellings are read: `rope_parameters`, and the older `rope_theta` beside `rope_scaling`
/// (which wins if both are there). The kind is `rope_type` or the older `type`: default, linear or
/// llama3. Frequencies are computed in float32 steps, in the order transformers takes them, because
/// at a position of some thousands the last bit of a frequency shows in the angle.
/// `max_positions` stands in for a missing `original_max_position_embeddings`.
/// @throws DataError  another kind (dynamic, yarn, longrope, ...), parameters for each kind of
///   block, a missing or absurd value
[[nodiscard]] RopeSpec read_rope(const ConfigReader& config, std::size_t rotary_dim,
                                 std::size_t max_positions, const RopeKeys& keys = {});

/// The share of each head that is rotated: `partial_rotary_factor` among the rope parameters, else
/// the key at the top, else 1.
/// @throws DataError  outside 0 to 1
[[nodiscard]] double read_rotated_share(const ConfigReader& config, const RopeKeys& keys = {});

/// theta^(-2i / rotary_dim) for i = 0 .. rotary_dim / 2 - 1, in float32 steps: the frequencies
/// before any scaling.
[[nodiscard]] std::vector<float> unscaled_frequencies(double theta, std::size_t rotary_dim);

/// Checks frequencies that an old program stored beside the weights, in any precision, against
/// those that config.json gives: before scaling or after it, since programs have stored both.
/// @throws DataError  naming `where`, the tensor, the first that differs and the key
void check_stored_frequencies(const RopeSpec& rope, std::span<const float> stored,
                              const std::string& tensor, const std::string& where);

}  // namespace lathe
