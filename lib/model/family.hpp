#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>

#include "lib/model/config_reader.hpp"
#include "lib/model/model_spec.hpp"

namespace lathe {

/// A family of models. Adding one: a file with such a row, one line in family.cpp, the defaults of
/// its keys in config_defaults.cpp, one test.
struct FamilyRow {
    std::string_view model_type;  ///< of config.json
    /// What the names of the base model's tensors begin with; weights saved from the base model
    /// alone lack it.
    std::string_view prefix;
    std::string_view head;  ///< name of the head's weight; passed over when the head is tied
    /// Ends of the names of stored buffers that are no weights, or of weights that this head does
    /// not read; of static storage.
    std::span<const std::string_view> buffers;
    /// Fills a ModelSpec, but for `family`, from config.json.
    ModelSpec (*read)(const ConfigReader& config);
    std::string_view other_head{};  ///< another name of the head's weight
    std::string_view bias_keys{};   ///< of config.json: what decides whether there are biases
};

[[nodiscard]] std::span<const FamilyRow> family_table();

/// Ends of the names of what old programs stored of rotary positions: it follows from config.json.
inline constexpr std::array<std::string_view, 4> rotary_buffers{
    ".rotary_emb.inv_freq", ".rotary_emb.cos_cached", ".rotary_emb.sin_cached", "rope.freqs"};

/// The row of this model_type; none if there is no such family.
[[nodiscard]] const FamilyRow* find_family(std::string_view model_type);

}  // namespace lathe
