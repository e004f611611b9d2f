#pragma once

#include <cstddef>
#include <optional>

#include "lib/model/config_reader.hpp"
#include "lib/model/model_spec.hpp"

namespace lathe {

/// The rotary embedding that a config.json asks for, over `rotary_dim` (even) elements of a head.
///
/// Both spellings are read: `rope_parameters`, and the older `rope_theta` beside `rope_scaling`
/// (which wins if both are there). The kind is `rope_type` or the older `type`: default, linear or
/// llama3. Frequencies are computed in float32 steps, in the order transformers takes them, because
/// at a position of some thousands the last bit of a frequency shows in the angle.
/// `max_positions` stands in for a missing `original_max_position_embeddings`.
/// @throws DataError  another kind (dynamic, yarn, longrope, ...), a missing or absurd value
[[nodiscard]] RopeSpec read_rope(const ConfigReader& config, std::size_t rotary_dim,
                                 std::size_t max_positions);

/// The share of each head that is rotated, `partial_rotary_factor` (or GPT-NeoX's older
/// `rotary_pct`), at the top or among the rope parameters; none if it is nowhere.
/// @throws DataError  outside 0 to 1
[[nodiscard]] std::optional<double> read_partial_rotary_factor(const ConfigReader& config);

}  // namespace lathe
