#pragma once

#include "lib/config/job_config.hpp"
#include "lib/config/yaml_reader.hpp"

namespace lathe {

/// The section `evaluate` of a job file; nullptr: its defaults. @throws UsageError
[[nodiscard]] EvaluateConfig read_evaluate(const YamlValue* value);

}  // namespace lathe
