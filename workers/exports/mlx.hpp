#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "workers/exports/export_format.hpp"

namespace lathe {

/// Format "mlx": a Hugging Face directory as mlx-lm reads it. A matrix [rows, cols] of module M
/// whose values an "integer" tensor has becomes
///
///   M.weight  U32 [rows, cols * num_bits / 32]  the codes, byte for byte
///   M.scales  [rows, cols / group]              value = scale * code + bias
///   M.biases  the same shape                    -scale * zero
///
/// in fp16 if symmetric (zero is a power of two, so biases are exact), else in float32. MLX has
/// groups of 32, 64 and 128; larger ones repeat their scale. Widths are 2, 3, 4, 5, 6 and 8 bits.
/// Embeddings and heads have codes like any matrix. config.json states what mlx-lm would take other
/// defaults for than the model's family has.
///
/// Source: mlx 0.32 (quantize), mlx-lm 0.32 (utils.py, models/llama.py).
[[nodiscard]] std::unique_ptr<ExportWriter> make_mlx_writer(
    std::shared_ptr<const ExportedModel> model, std::uint64_t max_shard_bytes);

/// ExportFormat::unit_fate.
[[nodiscard]] UnitFate mlx_unit_fate(const ModelSpec& spec, const UnitSpec& unit,
                                     std::span<const EncodedTensor> headers);

/// Families whose modules mlx-lm names otherwise or does not have; windows, which it reads in
/// another way; sliced models that no stock program runs.
[[nodiscard]] std::string mlx_refuses(const ModelSpec& spec);

}  // namespace lathe
