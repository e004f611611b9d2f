#pragma once

#include <string>

#include "lib/model/model_spec.hpp"

namespace lathe {

/// The name of the module that a tensor belongs to: the tensor's without its last part, "weight" or
/// "bias". Formats that store a weight as several tensors name them by the module.
[[nodiscard]] std::string module_name(const TensorSpec& tensor);

/// Whether programs disagree on the name of that module: GPT-NeoX's head is "embed_out" in the
/// checkpoint and in transformers 4, "lm_head" in transformers 5, which renames tensors as it loads
/// them but not what a configuration says of a module.
[[nodiscard]] bool has_several_module_names(const ModelSpec& spec, const TensorSpec& tensor);

}  // namespace lathe
