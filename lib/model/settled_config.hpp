#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "lib/model/model_spec.hpp"

namespace lathe {

/// A config.json whose text was changed because the weights beside it say otherwise.
struct SettledConfig {
    std::string text;
    std::string change;  ///< what was changed and why, a sentence
};

/// Settles config.json against the weights. They win where a flag says that head and embedding are
/// one matrix and two different ones are stored: the flag becomes false, as transformers has it
/// too. (Tied with one of the two stored, or two that are equal, needs no change.) None: the text
/// is right as it is. `equal` says whether two tensors hold the same values; it is asked only if
/// both are there in the same shape, as it has to read them.
/// @throws DataError  as read_model_spec()
[[nodiscard]] std::optional<SettledConfig> settle_config(
    const std::string& config_json, const std::vector<FoundTensor>& found,
    const std::function<bool(const std::string&, const std::string&)>& equal,
    const std::string& where);

}  // namespace lathe
