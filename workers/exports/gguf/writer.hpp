#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "workers/exports/export_format.hpp"

namespace lathe {

/// Format "gguf": one file, model.gguf, for llama.cpp and what is built on it. Each matrix has the
/// type with the fewest bits that holds its values bit for bit (gguf/blocks.hpp); what has none is
/// dense, in the source's type. Vectors, norms and positions are float32. A piece is a run of
/// tensors, written to its place in the file; the header, without which the file is none, is
/// written last.
/// @throws DataError  if the tokenizer has no name in llama.cpp
[[nodiscard]] std::unique_ptr<ExportWriter> make_gguf_writer(
    std::shared_ptr<const ExportedModel> model, std::uint64_t max_piece_bytes);

/// ExportFormat::unit_fate.
[[nodiscard]] UnitFate gguf_unit_fate(const ModelSpec& spec, const UnitSpec& unit,
                                      std::span<const EncodedTensor> headers);

[[nodiscard]] std::string gguf_refuses(const ModelSpec& spec);

}  // namespace lathe
