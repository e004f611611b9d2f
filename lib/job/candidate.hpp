#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace lathe {

/// One choice of method and settings, e.g. method "integer", {num_bits: 4, group_size: 64,
/// solver: gptq}. Values are kept as text in canonical form; only the method reads them.
struct Setting {
    std::string method;
    std::map<std::string, std::string> values;

    auto operator<=>(const Setting&) const = default;
    bool operator==(const Setting&) const = default;
};

/// "dense", "integer group_size=64 num_bits=4 solver=gptq symmetric=true": stable, unique,
/// keys in byte order.
/// @throws InternalError  if the method, a key or a value is empty or has a space, a "=" or
///   anything but printable ASCII in it
[[nodiscard]] std::string to_string(const Setting& setting);

/// Inverse of to_string(). @throws DataError  for a text that to_string() does not write
[[nodiscard]] Setting setting_from_string(const std::string& text);

/// Settings of all units, e.g. Plan::choice, as JSON. Each setting stands there once, however many
/// units have it: one task a block gets this text, and the texts of a stage lie in memory together.
[[nodiscard]] std::string choice_to_json(const std::vector<Setting>& choice);

/// Inverse of choice_to_json(). @throws DataError
[[nodiscard]] std::vector<Setting> choice_from_json(const std::string& text);

/// A unit under one setting: what it costs and what it does to the unit's output. Or the tensors of
/// no unit: they stand behind the last one, and `error` is that of their values.
struct Candidate {
    std::size_t unit = 0;  ///< index into ModelSpec::units, or their number
    Setting setting;
    std::uint64_t bytes = 0;      ///< payload of all the unit's tensors
    double error = 0.0;           ///< tr(dW G dW^T), mean over calibration tokens
    double relative_error = 0.0;  ///< error / tr(W G W^T); 0 if that is 0
};

/// One candidate for each unit, and one for the tensors of no unit (norms, biases, tables of
/// positions), which all have the same. choice[u] is the setting of unit u; the last is theirs.
struct Plan {
    std::vector<Setting> choice;
    std::uint64_t predicted_bytes = 0;  ///< of the whole output, container included
    /// Of the products with its weights, as a table of kernel times has it; 0: not known.
    double predicted_seconds = 0.0;
    std::string origin;  ///< "search", "homogeneous integer ..."
    /// Where what refinement made of it lies, RunDirectory::refined(); empty: not refined.
    std::string refined;
};

}  // namespace lathe
