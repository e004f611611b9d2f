#pragma once

#include <regex>
#include <string>
#include <vector>

#include "lib/model/model_spec.hpp"

namespace lathe {

/// Names of tensors or units as a job file lists them: as they are, or "re:" and a regular
/// expression that matches from the start of the name, like Python's re.match.
class NamePatterns {
public:
    /// @throws UsageError  for what is no regular expression; `key` begins the message
    NamePatterns(const std::vector<std::string>& entries, const std::string& key);

    [[nodiscard]] bool has(const std::string& name) const;
    /// Whether the unit or one of its tensors is named.
    [[nodiscard]] bool has(const ModelSpec& spec, const UnitSpec& unit) const;

private:
    std::vector<std::string> names_;
    std::vector<std::regex> patterns_;
};

}  // namespace lathe
