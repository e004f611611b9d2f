#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lib/model/model_spec.hpp"
#include "workers/exports/gguf/header.hpp"

namespace lathe::gguf {

// What llama.cpp calls a model and its parts, and in which order it wants rows. Source:
// gguf-py/gguf/constants.py, conversion/*.py and src/llama-model.cpp of llama.cpp (2026-10).

/// "" if llama.cpp computes models of this kind as they are; else why not.
[[nodiscard]] std::string refuses(const ModelSpec& spec);

/// Keys of the model but for its tokenizer. `intermediate_size`: of the exported model.
/// @pre  refuses() is ""
[[nodiscard]] std::vector<Key> model_keys(const ModelSpec& spec, std::size_t intermediate_size);

/// "blk.3.ffn_up.weight", "output_norm.bias".
[[nodiscard]] std::string tensor_name(const TensorSpec& tensor);

/// Row i of the file's tensor is row order[i] of ours; empty: rows stay. Architecture "llama" wants
/// the rows of q and k, which rotate in halves, in pairs; fused q, k and v stand one after another.
[[nodiscard]] std::vector<std::uint32_t> row_order(const ModelSpec& spec, const TensorSpec& tensor);

/// Divisors of the rotary frequencies (tensor "rope_freqs.weight" [head_dim / 2]); empty: none.
[[nodiscard]] std::vector<float> rope_divisors(const ModelSpec& spec);

}  // namespace lathe::gguf
