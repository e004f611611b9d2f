#pragma once

#include <string>

#include "lib/model/model_spec.hpp"

namespace lathe {

/// What config.json has been understood to say, as a JSON object: sizes and switches of the forward
/// pass, without tensors. `windows` is the tokens that a query of each block sees (0: all), empty
/// if all blocks see all; `rope` is null without rotary positions.
[[nodiscard]] std::string model_facts(const ModelSpec& spec);

}  // namespace lathe
