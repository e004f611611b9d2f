#pragma once

#include <optional>

#include "lib/config/job_config.hpp"
#include "lib/config/yaml_reader.hpp"

namespace lathe {

/// `serve: NAME` as the section it stands for, `serve: {reader: NAME}`.
void widen_serve(YamlValue& root);

/// The section `serve`, which may be none. @throws UsageError  with the place: an unknown reader,
///   a key that it does not have
[[nodiscard]] std::optional<ServeConfig> read_serve(const YamlValue* value);

/// What `serve` means for the rest of the job: its format is exported; a slice has one rotation and
/// a width that the program's kernels take, `slice`: the section of the file; no kept_tensors.
/// @throws UsageError  with the place of what goes against that
void apply_serve(JobConfig& job, const YamlValue* slice);

}  // namespace lathe
