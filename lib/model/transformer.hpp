#pragma once

#include <string_view>

#include "lib/model/model_spec.hpp"

namespace lathe {

/// How the rows of a fused q, k, v tensor lie.
enum class FusedOrder {
    concatenated,  ///< all of q, then k, then v
    by_head,       ///< q, k, v of the first head, then of the second, ...
};

/// What a family calls the modules of a transformer; an empty name: it has no such part. A module's
/// tensors are its name with ".weight" and, if it has one, ".bias".
struct TransformerNames {
    std::string_view token_embedding;
    std::string_view position_embedding{};
    std::string_view segment_embedding{};
    std::string_view embedding_projection{};
    std::string_view embedding_norm{};

    std::string_view layers;  ///< "model.layers.": before a block's number
    // Within a block, such as "self_attn.q_proj".
    std::string_view attention_norm;
    std::string_view q{};
    std::string_view k{};
    std::string_view v{};
    std::string_view qkv{};  ///< instead of q, k, v
    std::string_view q_norm{};
    std::string_view k_norm{};
    std::string_view o;
    std::string_view mlp_norm{};
    std::string_view gate{};
    std::string_view up{};
    std::string_view gate_up{};  ///< instead of gate and up
    std::string_view down;

    std::string_view final_norm{};
    std::string_view head_projection{};
    std::string_view head{};    ///< of a language model
    std::string_view pooler{};  ///< of a classifier
    std::string_view classifier{};
};

/// What differs between models whose modules have the same names.
struct TransformerOptions {
    bool norm_bias = false;
    bool qkv_bias = false;
    bool o_bias = false;
    bool mlp_bias = false;
    bool head_bias = false;
    FusedOrder fused_order = FusedOrder::concatenated;
    bool transposed = false;  ///< linear weights of the blocks are stored [in, out]
    std::size_t position_rows = 0;
    std::size_t segment_rows = 0;
};

/// Fills the tensor and unit lists of `spec` for the sizes, the form and the head it has already.
///
/// Order: before the blocks, block by block, after the blocks; each bias after its weight. Units:
/// embedding; qkv, o, gate_up (or up) and down of each block; head, or pooler and classifier.
/// Positions, segments, projections, norms and biases belong to no unit: they are small and stay as
/// they are. The embedding's unit is fed by head_in where the head is tied to it.
void add_transformer_tensors(ModelSpec& spec, const TransformerNames& names,
                             const TransformerOptions& options);

}  // namespace lathe
