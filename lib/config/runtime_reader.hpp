#pragma once

#include "lib/config/job_config.hpp"
#include "lib/config/yaml_reader.hpp"

namespace lathe {

/// The section `runtime`; the defaults for none. @throws UsageError  with the place
[[nodiscard]] RuntimeConfig read_runtime(const YamlValue* value);

}  // namespace lathe
