#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "workers/exports/export_format.hpp"

namespace lathe {

/// Format "compressed-tensors": a Hugging Face directory whose linear layers have packed codes, as
/// the format `pack-quantized` of the library compressed-tensors. vLLM computes with them as they
/// are; transformers decodes them. A weight [rows, cols] of module M in encoding "integer" becomes
///
///   M.weight_packed      I32 [rows, ceil(cols * num_bits / 32)]   the codes, byte for byte
///   M.weight_scale       F16 [rows, groups]                       the scales, byte for byte
///   M.weight_zero_point  I32 [ceil(rows * num_bits / 32), groups] if asymmetric: the zeros of each
///                        column packed along the rows as codes are along the columns
///   M.weight_shape       I64 [2]                                  rows, cols
///
/// and config.json names M under the group of its bits, group size and symmetry. So do tensors
/// whose values an "integer" one has (lib/encoding/integer_form.hpp). All others are dense, in the
/// source's type: other encodings, embeddings (no stock loader takes codes there) and what is no
/// weight. Layers that vLLM runs as one (a unit: q, k, v; gate, up) have one scheme in all.
///
/// Source: compressed-tensors 0.20.1, compressors/pack_quantized and quantization/quant_args.py;
/// vLLM 0.32.0, compressed_tensors_wNa16.py.
/// @throws DataError  naming the tensor: a short last group; layers of one unit under different
///   settings, which vLLM takes without a word and computes nonsense
[[nodiscard]] std::unique_ptr<ExportWriter> make_compressed_tensors_writer(
    std::shared_ptr<const ExportedModel> model, std::uint64_t max_shard_bytes);

/// Models that are stored as [in, out] (GPT-2), and sliced ones that no stock program runs.
[[nodiscard]] std::string compressed_tensors_refuses(const ModelSpec& spec);

}  // namespace lathe
