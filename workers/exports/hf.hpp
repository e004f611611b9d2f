#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "workers/exports/export_format.hpp"

namespace lathe {

/// Format "hf": a Hugging Face directory as the source was one. Each tensor is dequantised, under
/// its own name and in the element type that it had; config.json has no section on quantisation.
[[nodiscard]] std::unique_ptr<ExportWriter> make_hf_writer(
    std::shared_ptr<const ExportedModel> model, std::uint64_t max_shard_bytes);

/// Never: what slicing makes of a model that no stock program runs, Lathe itself still reads.
[[nodiscard]] std::string hf_refuses(const ModelSpec& spec);

}  // namespace lathe
