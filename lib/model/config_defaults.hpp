#pragma once

#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace lathe {

/// What an absent key of a family's config.json means: an object with every key that the family
/// reads. These are the defaults of the configuration classes of transformers, which the library
/// applies when it reads such a file; null: no value, the reader's own rule follows (as a head size
/// from hidden size and heads). A key that is there and null is not absent: it has no value.
///
/// tests/model/config_defaults_test.cpp compares each key of each family with what transformers
/// makes of a config without it.
/// @throws InternalError  no such family
[[nodiscard]] const nlohmann::json& config_defaults(std::string_view family);

/// The other name under which a family takes a key, and which wins if both are there: GPT-2's
/// "n_embd" is also "hidden_size". "" if there is none.
[[nodiscard]] std::string_view other_name(std::string_view family, std::string_view key) noexcept;

}  // namespace lathe
