#pragma once

#include <map>
#include <set>
#include <string>

#include "orchestrator/report/run_facts.hpp"

namespace lathe::report {

/// Short names for settings: what all settings of a run have in common is left out.
class SettingLabels {
public:
    /// Of the settings that the run's plans name.
    explicit SettingLabels(const RunFacts& facts);

    /// "integer 3 bits admm" of "integer ... num_bits=3 solver=admm"; also of a plan's origin that
    /// ends with a setting, "homogeneous integer ...". Other texts as they are.
    [[nodiscard]] std::string label(const std::string& text) const;

private:
    void add(const std::string& text);

    /// Values of each key, for each method.
    std::map<std::string, std::map<std::string, std::set<std::string>>> values_;
};

}  // namespace lathe::report
