#pragma once

#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "kernels/contract/backend.hpp"
#include "lib/model/model_spec.hpp"
#include "workers/model/weight_source.hpp"
#include "workers/samples/token_data.hpp"

namespace lathe {

/// Sees the input of the linear layers that read `signal`. x [tokens, features].
using SignalObserver = std::function<void(Signal signal, MatrixView<const float> x)>;

/// Keys and values of one sequence, of every block, so that generation computes each token once.
class KeyValueCache {
public:
    /// Room for `capacity` tokens.
    KeyValueCache(const ModelSpec& spec, const kernels::Backend& backend, std::size_t capacity);

    /// Tokens that are in it.
    [[nodiscard]] std::size_t length() const { return length_; }
    [[nodiscard]] std::size_t capacity() const { return capacity_; }
    /// After all blocks have seen `tokens` more.
    void advance(std::size_t tokens) { length_ += tokens; }

    /// Of one block, room included. [capacity, n_kv_heads * head_dim]
    [[nodiscard]] MatrixView<float> keys(std::size_t block) const;
    [[nodiscard]] MatrixView<float> values(std::size_t block) const;

private:
    std::size_t width_;
    std::size_t capacity_;
    std::size_t length_ = 0;
    std::vector<kernels::Array<float>> keys_;
    std::vector<kernels::Array<float>> values_;
};

/// Of attention in a block, without a cache. @pre  `spec` and `batch` outlive the result
[[nodiscard]] kernels::AttentionShape attention_shape(const ModelSpec& spec,
                                                      const TokenSequences& batch,
                                                      std::size_t block);

/// Cosine and sine of a pair's angle at a position, with what scales them. The angle is rounded to
/// fp32 as the models were trained with it.
struct RotaryAngle {
    double cos = 1.0;
    double sin = 0.0;
};
[[nodiscard]] RotaryAngle rotary_angle(const RopeSpec& rope, std::size_t position,
                                       std::size_t pair);

/// The forward pass of a model, block by block, in fp32: the formulas of a transformer, with the
/// parts that its ModelSpec has. Holds the rotary tables and the memory between operations, so that
/// one object serves any number of blocks and batches. Not for use from several threads at once:
/// the parallelism is inside the backend.
///
/// A batch is a TokenSequences; its tokens are the rows of all matrices.
class ForwardPass {
public:
    /// @pre  `spec` and `backend` outlive the object
    ForwardPass(const ModelSpec& spec, const kernels::Backend& backend,
                std::size_t max_sequence_length);

    [[nodiscard]] const ModelSpec& spec() const { return spec_; }
    [[nodiscard]] const kernels::Backend& backend() const { return backend_; }

    /// Whether linear layers are computed in bfloat16 (linear_bf16 of the backend) from now on;
    /// those of packed weights are not. All else is fp32.
    void use_bf16(bool use) { bf16_ = use; }

    /// hidden = what enters the first block. hidden [tokens, stream_width(0)]
    /// `first_position` is that of the first token, if it is not the first of its sequence.
    void embed(const LoadedWeights& embedding, const TokenSequences& batch,
               MatrixView<float> hidden, std::size_t first_position = 0);

    /// embed() but for the norm.
    void embed_sum(const LoadedWeights& embedding, const TokenSequences& batch,
                   MatrixView<float> hidden, std::size_t first_position = 0);

    /// One block, in place: hidden [tokens, the stream's width before the block] becomes the
    /// block's output, which is returned. The two lie in the same memory, rows packed, but a sliced
    /// model's stream may change its width: there must be room for hidden_size columns. With a
    /// cache the batch is one sequence that continues where the cache ends.
    MatrixView<float> block(const LoadedWeights& weights, const TokenSequences& batch,
                            MatrixView<float> hidden, const SignalObserver& observe = {},
                            const KeyValueCache* cache = nullptr);

    /// One step of a block (ModelSpec::steps_per_block) in the manner of block(), which is all of
    /// them: attention, then the MLP; of a parallel block both.
    MatrixView<float> step(std::size_t number, const LoadedWeights& weights,
                           const TokenSequences& batch, MatrixView<float> hidden,
                           const SignalObserver& observe = {},
                           const KeyValueCache* cache = nullptr);

    /// The final norm, in place; nothing if the model has none.
    void final_norm(const LoadedWeights& head, MatrixView<float> hidden) const;

    /// What the head reads, from hidden states after the final norm: of a language model a row for
    /// each token, of a classifier the first token of each sequence. [head_rows, head_width].
    /// Valid until the next call, and as long as `hidden`.
    [[nodiscard]] MatrixView<const float> head_input(const LoadedWeights& head,
                                                     const TokenSequences& batch,
                                                     MatrixView<const float> hidden);

    /// logits [x.rows, n_outputs] of rows x of head_input().
    void head(const LoadedWeights& head, MatrixView<const float> x, MatrixView<float> logits,
              const SignalObserver& observe = {});

    /// Rows of head_input() for this batch.
    [[nodiscard]] static std::size_t head_rows(const ModelSpec& spec, const TokenSequences& batch) {
        return spec.head == HeadKind::classifier ? batch.count() : batch.tokens();
    }

    /// Rotates the heads of x [tokens, heads * head_dim], as the model has it, to these positions.
    void rotate_heads(MatrixView<float> x, std::span<const std::uint32_t> positions) const;

    /// The roles to load for embed(), and for final_norm(), head_input() and head(): a tied head
    /// reads the embedding's weight.
    [[nodiscard]] static std::vector<Role> embedding_roles();
    [[nodiscard]] std::vector<Role> head_roles() const;

private:
    friend class BackwardPass;  // computes the parts of a block again

    /// The steps of the three forms of a block.
    MatrixView<float> attend(const LoadedWeights& weights, const TokenSequences& batch,
                             MatrixView<float> hidden, const SignalObserver& observe,
                             const KeyValueCache* cache);
    MatrixView<float> feed_forward(const LoadedWeights& weights, MatrixView<float> hidden,
                                   const SignalObserver& observe);
    MatrixView<float> both_at_once(const LoadedWeights& weights, const TokenSequences& batch,
                                   MatrixView<float> hidden, const SignalObserver& observe,
                                   const KeyValueCache* cache);
    /// What the stream is where a step's output is added to it: itself or, where there is a
    /// shortcut, that times the stream. `compute` writes the step's output; the sum is returned.
    MatrixView<float> add_step(const LoadedWeights& weights, Role shortcut,
                               MatrixView<float> hidden,
                               const std::function<void(MatrixView<float>)>& compute);
    /// update [tokens, width of the stream after it] = attention of x; likewise the MLP.
    void attention(const LoadedWeights& weights, const TokenSequences& batch,
                   MatrixView<const float> x, MatrixView<float> update,
                   const SignalObserver& observe, const KeyValueCache* cache);
    void mlp(const LoadedWeights& weights, MatrixView<const float> x, MatrixView<float> update,
             const SignalObserver& observe);
    /// Queries and keys [tokens, heads * head_dim] as linear layers made them: normed, rotated.
    void place_heads(const LoadedWeights& weights, MatrixView<float> q, MatrixView<float> k);
    /// A linear layer, and where its output goes.
    struct Output {
        Role role;
        MatrixView<float> y;
    };
    /// Several linear layers of one input, in the precision that use_bf16() says (linear.hpp).
    void linear(const LoadedWeights& weights, MatrixView<const float> x,
                std::initializer_list<Output> outputs) const;
    /// y [tokens] = rows of the token embedding.
    void embed_tokens(const LoadedWeights& embedding, const TokenSequences& batch,
                      MatrixView<float> y) const;
    void norm(const LoadedWeights& weights, Role role, MatrixView<const float> x,
              MatrixView<float> y) const;
    /// A norm of the residual stream: of a sliced model without parameters.
    void stream_norm(const LoadedWeights& weights, Role role, MatrixView<const float> x,
                     MatrixView<float> y) const;
    void reserve(std::size_t tokens);
    void set_positions(const TokenSequences& batch, std::size_t first_position);

    const ModelSpec& spec_;
    const kernels::Backend& backend_;
    std::size_t max_sequence_length_;
    kernels::Array<float> cos_;  ///< [max_sequence_length, rotary pairs]
    kernels::Array<float> sin_;
    /// For a sliced model: sqrt(hidden_size / d), d times, for each width d of the stream.
    std::map<std::size_t, kernels::Array<float>> width_factors_;

    bool bf16_ = false;
    std::size_t reserved_tokens_ = 0;
    std::vector<std::uint32_t> positions_;  ///< [tokens]
    std::vector<std::uint32_t> rows_;       ///< [tokens] of a table
    kernels::Array<float> narrow_;          ///< [tokens, embedding_size]
    kernels::Array<float> normed_;          ///< [tokens, hidden]
    kernels::Array<float> update_;          ///< [tokens, hidden]
    kernels::Array<float> skip_;            ///< [tokens, hidden] of a sliced model
    kernels::Array<float> q_, k_, v_;       ///< [tokens, heads * head_dim]
    kernels::Array<float> mixed_;           ///< [tokens, heads * head_dim]
    kernels::Array<float> gate_, up_;       ///< [tokens, intermediate]
};

}  // namespace lathe
