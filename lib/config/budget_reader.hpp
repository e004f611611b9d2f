#pragma once

#include "lib/config/yaml_reader.hpp"
#include "lib/job/budget.hpp"

namespace lathe {

/// A text as parse_budget() has it. @throws UsageError  with the place
[[nodiscard]] Budget read_budget_text(const SourcePlace& place, const std::string& text);

/// The key `budget`: a text or a map of one form; the default for none. @throws UsageError  with
/// the
///   place
[[nodiscard]] Budget read_budget(const YamlValue* value);

/// A size in bytes: the form of a budget that has a unit or none. `key` is named in a refusal.
[[nodiscard]] std::uint64_t read_size(const YamlValue& value, const std::string& key);

}  // namespace lathe
