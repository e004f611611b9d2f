#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/activation.hpp"
#include "lib/core/dtype.hpp"

namespace lathe {

/// What a tensor is for. Everything outside lib/model works with roles, never with names.
enum class Role {
    // Before the blocks.
    token_embedding,
    position_embedding,
    segment_embedding,     ///< of the first and the second text of a pair
    embedding_projection,  ///< from the embedding's width to the blocks'
    embedding_norm,
    // In a block.
    attention_norm,
    qkv_proj,  ///< q, k and v in one tensor, see FusedRows
    q_proj,
    k_proj,
    v_proj,
    q_norm,  ///< of each head
    k_norm,
    o_proj,
    mlp_norm,
    gate_up_proj,  ///< gate and up in one tensor
    gate_proj,
    up_proj,
    down_proj,
    attention_shortcut,  ///< of a sliced model: the residual stream past attention
    mlp_shortcut,        ///< past the MLP, or past a whole parallel block
    // After the blocks.
    final_norm,
    head_projection,  ///< from the blocks' width to the embedding's
    lm_head,
    pooler,
    classifier,
};

[[nodiscard]] std::string_view name(Role role) noexcept;

/// Where a linear layer's input comes from; the layers of a block with the same input share one
/// Gram matrix. `head_in` is what the head reads: of a language model all positions after the final
/// norm, of a classifier the first position of each text. `stream_in` and `stream_mid` are the
/// residual stream itself, as it enters a block and between attention and MLP.
enum class Signal {
    attention_in,
    attention_out,
    mlp_in,
    mlp_hidden,
    head_in,
    classifier_in,
    token_ids,
    stream_in,
    stream_mid,
};

[[nodiscard]] std::string_view name(Signal signal) noexcept;

/// How a fused tensor shares out its rows: `n_groups` times the rows of the first part, of the
/// second, and so on. One group: the parts stand one after another; a group for each head: they are
/// interleaved.
struct FusedRows {
    struct Part {
        Role role = Role::q_proj;
        std::size_t rows = 0;  ///< in each group
    };
    std::vector<Part> parts;
    std::size_t n_groups = 1;
};

/// A tensor the checkpoint must have.
struct TensorSpec {
    std::string name;  ///< in the source checkpoint
    Role role = Role::token_embedding;
    std::optional<std::size_t> block;  ///< none: outside the blocks
    bool is_bias = false;              ///< the bias of `role`, not its weight
    Shape shape;                       ///< linear weights: [out_features, in_features]
    bool transposed = false;           ///< the source has it as [in_features, out_features]
    FusedRows fused;                   ///< empty `parts`: one role

    /// The shape in the source checkpoint.
    [[nodiscard]] Shape source_shape() const;
};

/// The smallest thing the search chooses for: weights that share one choice of method and setting,
/// because serving kernels fuse them.
struct UnitSpec {
    std::string name;  ///< "block_0003.qkv", "block_0003.down", "embedding", "head"
    std::optional<std::size_t> block;
    std::vector<std::size_t> tensors;  ///< indices into ModelSpec::tensors, weights of this unit
    Signal input = Signal::token_ids;  ///< what all of them read
};

/// Rotary position embedding. Layout: pairs (i, i + r/2) of the first r = 2 * inv_freq.size()
/// elements of a head.
struct RopeSpec {
    /// Radians per position, scaling (linear, llama3) applied. Each is a float32 value: angles
    /// formed in float32 (position * frequency, both rounded) agree with transformers.
    std::vector<double> inv_freq;
    double attention_factor = 1.0;  ///< multiplies cos and sin
    std::string kind{};             ///< of the scaling: "default" (none), "linear", "llama3"
    double theta = 0.0;             ///< the base of the unscaled frequencies
};

enum class NormKind { rms, layer };

/// How attention (A), MLP (M), their norms and the residual stream h of a block are arranged.
enum class BlockForm {
    pre_norm,   ///< h += A(norm(h)); h += M(norm(h))
    post_norm,  ///< h = norm(h + A(h)); h = norm(h + M(h))
    parallel,   ///< h += A(norm(h)) + M(norm'(h)); without a norm of its own M reads A's
};

/// What the model answers.
enum class HeadKind {
    language_model,  ///< logits over the vocabulary at each position
    classifier,      ///< logits over the labels, or one number, for each text
};

/// Everything the rest of the program knows of a model: plain values, no file is open. A tensor
/// that is not in the list is a part that the model does not have: an MLP without gate_proj is not
/// gated, without mlp_norm it has no norm.
struct ModelSpec {
    std::string family;  ///< model_type of config.json
    BlockForm form = BlockForm::pre_norm;
    NormKind norm = NormKind::rms;
    Activation activation = Activation::silu;  ///< of the MLP
    HeadKind head = HeadKind::language_model;
    std::size_t hidden_size = 0;
    std::size_t intermediate_size = 0;
    std::size_t n_blocks = 0;
    std::size_t n_heads = 0;
    std::size_t n_kv_heads = 0;
    std::size_t head_dim = 0;
    std::size_t vocab_size = 0;
    std::size_t embedding_size = 0;  ///< of a token; differs from hidden_size only if projected
    std::size_t max_positions = 0;   ///< tokens of a sequence
    float norm_epsilon = 1e-6F;
    bool tied_head = false;  ///< the head's weight is the embedding's
    /// What config.json says of a quantisation: "quantization_config, quant_method "gptq""; else
    /// "". It may be left over from one that was undone: match_tensors() looks at the weights.
    std::string quantisation;
    /// Rows of embeddings that are not finite are read by no text: they count as zeros, and a text
    /// that reads one is refused. Said by the user, not by the model.
    bool allow_nan_rows = false;
    RopeSpec rope;                     ///< no frequencies: no rotary positions
    std::size_t position_offset = 0;   ///< row of the first position in a position_embedding
    std::vector<float> alibi_slopes;   ///< one a head; none: no linear position bias
    std::vector<std::size_t> windows;  ///< tokens a query of each block sees, 0: all; none: all
    bool causal = true;
    Activation pooler_activation = Activation::tanh;
    /// For a sliced model: how wide the residual stream is at each boundary (lib/model/stream.hpp).
    /// The norms of its stream have no parameters: x / sqrt(|x|^2 / hidden_size + norm_epsilon),
    /// whatever the width. Empty: not sliced.
    std::vector<std::size_t> stream_widths;
    std::vector<std::string> labels;  ///< of a classifier, by output
    std::vector<std::uint32_t> eos_ids;
    std::vector<TensorSpec> tensors;  ///< before the blocks, block by block, after the blocks
    std::vector<UnitSpec> units;      ///< in the order of their first tensor

    /// Index of a tensor; none if the model has no such tensor (a bias that is not there).
    [[nodiscard]] std::optional<std::size_t> find(Role role, std::optional<std::size_t> block,
                                                  bool is_bias = false) const;
    [[nodiscard]] bool has(Role role, std::optional<std::size_t> block) const {
        return find(role, block).has_value();
    }
    [[nodiscard]] std::uint64_t parameters() const;
    /// Tokens that a query of this block sees, itself included; 0: all.
    [[nodiscard]] std::size_t window(std::size_t block) const {
        return windows.empty() ? 0 : windows.at(block);
    }
    /// Width of the head's output: the vocabulary, or the labels.
    [[nodiscard]] std::size_t n_outputs() const {
        return head == HeadKind::classifier ? labels.size() : vocab_size;
    }
    [[nodiscard]] bool is_sliced() const { return !stream_widths.empty(); }
    /// Of a sliced model: whether embedding and head keep one table (StreamShape::shares_table).
    [[nodiscard]] bool shares_table() const { return is_sliced() && tied_head; }
    /// Steps of a block that add to the residual stream: attention and MLP, or both as one.
    [[nodiscard]] std::size_t steps_per_block() const {
        return form == BlockForm::parallel ? 1 : 2;
    }
    /// Width of the residual stream before step `step` of the model, the block's number times
    /// steps_per_block() and the step's in it; after all of them, with their number.
    [[nodiscard]] std::size_t stream_width(std::size_t step) const {
        return is_sliced() ? stream_widths.at(step) : hidden_size;
    }
    /// Width of what the head reads.
    [[nodiscard]] std::size_t head_width() const {
        if (is_sliced() && !shares_table()) return stream_widths.back();
        return head == HeadKind::classifier ? hidden_size : embedding_size;
    }
};

/// Reads the text of a config.json.
/// @throws DataError  naming `where` and the key: not JSON, unknown model_type (the known ones are
///   listed), missing or absurd value, unsupported activation, rope type or feature
[[nodiscard]] ModelSpec read_model_spec(const std::string& config_json, const std::string& where);

/// The same, but what is unsupported is not refused: a line for each such value is added to
/// `unsupported`, and the rest is read as if it were not there. For what only counts and describes.
/// @throws DataError  as above, for the rest
[[nodiscard]] ModelSpec read_model_spec(const std::string& config_json, const std::string& where,
                                        std::vector<std::string>& unsupported);

/// What a checkpoint's tensors are, against the model. Tensors: name, dtype, shape.
struct FoundTensor {
    std::string name;
    DType dtype = DType::f32;
    Shape shape;
};

/// A tensor of the checkpoint that the model does not need.
struct PassedOver {
    std::string name;
    std::string reason;  ///< "a buffer", "the head is the embedding", "named under ignore"
};

/// Checks that `found` is what `spec` asks for, and returns what is passed over, by name.
/// Known buffers that carry no weights (rotary inv_freq) and a head stored beside a tied embedding
/// are passed over, and so are others that `ignore` names (NamePatterns::passes_over()). What the
/// model needs is never ignored.
/// Of a tied head and embedding either may be the one that is stored.
/// Weights stored with or without the family's prefix ("model.") are found, and norms of BERT's
/// that are spelt "LayerNorm.gamma" and "LayerNorm.beta": TensorSpec::name is set to the name in
/// the checkpoint.
/// @throws DataError  missing tensor; another shape or a type that is not floating; a tensor that
///   no role claims. If config.json or a tensor speaks of a quantisation, that is what is named: a
///   quantised checkpoint is not taken, weights beside a section that is left over are
/// @throws UsageError  an entry of `ignore` is not a regular expression
std::vector<PassedOver> match_tensors(ModelSpec& spec, const std::vector<FoundTensor>& found,
                                      const std::vector<std::string>& ignore,
                                      const std::string& where);

}  // namespace lathe
