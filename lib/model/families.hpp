#pragma once

#include "lib/model/family.hpp"

namespace lathe {

// One function a family, each in the file of that name. A new family is such a file, a line here,
// its place in the table of family.cpp, and a test.

// Decoders of the Llama kind: RMSNorm, rotary positions, gated MLP.
[[nodiscard]] FamilyRow llama_family();    ///< Llama 1, 2, 3 and the many models of their shape
[[nodiscard]] FamilyRow mistral_family();  ///< sliding window
[[nodiscard]] FamilyRow qwen2_family();    ///< biases on q, k, v
[[nodiscard]] FamilyRow qwen3_family();    ///< norms on each head's q and k
[[nodiscard]] FamilyRow phi3_family();     ///< fused qkv and gate/up

// Decoders with LayerNorm and biases.
[[nodiscard]] FamilyRow opt_family();   ///< learned positions; OPT-350M's post-norm, projections
[[nodiscard]] FamilyRow phi_family();   ///< parallel block with one norm, partial rotary
[[nodiscard]] FamilyRow gpt2_family();  ///< transposed weights, fused qkv, learned positions
[[nodiscard]] FamilyRow gpt_neox_family();  ///< qkv fused by head, parallel or not, partial rotary
[[nodiscard]] FamilyRow bloom_family();     ///< ALiBi, qkv fused by head, norm after the embedding

// Encoders with a classification head.
[[nodiscard]] FamilyRow bert_family();
[[nodiscard]] FamilyRow roberta_family();
[[nodiscard]] FamilyRow distilbert_family();

}  // namespace lathe
