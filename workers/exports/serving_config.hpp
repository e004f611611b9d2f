#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "workers/exports/exported_model.hpp"

namespace lathe {

// What servers want of the files beside the weights, whatever the format of these is.

/// Puts the element type under both names that config.json has had for it, `dtype` and
/// `torch_dtype`: with neither, or null, some versions of vLLM serve in float32.
void state_dtype(nlohmann::json& config, const ExportedModel& model);

/// Transformers 5 saves tokenizers under a class that version 4 does not know; the name that both
/// know takes its place in the text of tokenizer_config.json.
[[nodiscard]] std::string with_common_tokenizer_class(const std::string& text);

/// The element type that state_dtype() states: the config's own or, if it has none, that of most of
/// the source's weights.
[[nodiscard]] DType stated_dtype(const nlohmann::json& config, const ExportedModel& model);

}  // namespace lathe
