#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/dtype.hpp"

namespace lathe {

/// What a tensor is for. Everything outside lib/model works with roles, never with names.
enum class Role {
    token_embedding,
    attention_norm,
    q_proj,
    k_proj,
    v_proj,
    o_proj,
    mlp_norm,
    gate_proj,
    up_proj,
    down_proj,
    final_norm,
    lm_head,
};

[[nodiscard]] std::string_view name(Role role) noexcept;

/// Where a linear layer's input comes from; the layers of a block with the same input share one
/// Gram matrix. `head_in` is the input of the head, after the final norm.
enum class Signal { attention_in, attention_out, mlp_in, mlp_hidden, head_in, token_ids };

[[nodiscard]] std::string_view name(Signal signal) noexcept;

/// A tensor the checkpoint must have.
struct TensorSpec {
    std::string name;  ///< in the source checkpoint
    Role role = Role::token_embedding;
    std::optional<std::size_t> block;  ///< none: outside the blocks
    bool is_bias = false;              ///< the bias of `role`, not its weight
    Shape shape;                       ///< linear weights: [out_features, in_features]
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
};

/// Everything the rest of the program knows of a model: plain values, no file is open.
struct ModelSpec {
    std::string family;  ///< model_type of config.json
    std::size_t hidden_size = 0;
    std::size_t intermediate_size = 0;
    std::size_t n_blocks = 0;
    std::size_t n_heads = 0;
    std::size_t n_kv_heads = 0;
    std::size_t head_dim = 0;
    std::size_t vocab_size = 0;
    std::size_t max_positions = 0;
    float norm_epsilon = 1e-6F;
    bool tied_head = false;  ///< the head's weight is the embedding's
    RopeSpec rope;
    std::vector<std::uint32_t> eos_ids;
    std::vector<TensorSpec> tensors;  ///< before the blocks, block by block, after the blocks
    std::vector<UnitSpec> units;      ///< in the order of their first tensor

    /// Index of a tensor; none if the model has no such tensor (a bias that is not there).
    [[nodiscard]] std::optional<std::size_t> find(Role role, std::optional<std::size_t> block,
                                                  bool is_bias = false) const;
    [[nodiscard]] std::uint64_t parameters() const;
};

/// Reads the text of a config.json.
/// @throws DataError  naming `where` and the key: not JSON, unknown model_type (the known ones are
///   listed), missing or absurd value, unsupported activation, rope type or feature, a checkpoint
///   that is already quantised
[[nodiscard]] ModelSpec read_model_spec(const std::string& config_json, const std::string& where);

/// What a checkpoint's tensors are, against the model. Tensors: name, dtype, shape.
struct FoundTensor {
    std::string name;
    DType dtype = DType::f32;
    Shape shape;
};

/// Checks that `found` is what `spec` asks for.
/// Known buffers that carry no weights (rotary inv_freq) and a head stored beside a tied embedding
/// are passed over, and so are other names matched by `ignore`: exact, or "re:" and a regular
/// expression that matches from the start of the name. What the model needs is never ignored.
/// Weights stored with or without the family's prefix ("model.") are found:
/// TensorSpec::name is set to the name in the checkpoint.
/// @throws DataError  missing tensor; another shape or a type that is not floating; a tensor that
///   no role claims
/// @throws UsageError  an entry of `ignore` is not a regular expression
void match_tensors(ModelSpec& spec, const std::vector<FoundTensor>& found,
                   const std::vector<std::string>& ignore, const std::string& where);

}  // namespace lathe
