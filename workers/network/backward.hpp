#pragma once

#include <functional>

#include "kernels/contract/gradients.hpp"
#include "workers/network/forward.hpp"

namespace lathe {

/// Sees the derivative of the loss by the output of a linear layer, bias included, or of an
/// embedding's look-up (Role::token_embedding). The head is Role::lm_head, tied or not.
/// dy [tokens, features]
using GradientObserver = std::function<void(Role role, MatrixView<const float> dy)>;

/// Turns rows of the model's outputs into derivatives of the loss by them, in place. `first_row` is
/// the number of the first of them among the batch's ForwardPass::head_rows().
using LossGradient = std::function<void(std::size_t first_row, MatrixView<float> logits)>;

/// The backward pass of a model, block by block, in host memory: derivatives of a loss, a sum over
/// the rows that the head reads, by everything that ForwardPass computes. All forms of blocks and
/// heads that it knows. Nothing of a block is kept from the forward pass but its input: what is
/// needed is computed again.
///
/// Not for use from several threads at once: the parallelism is inside the kernels.
class BackwardPass {
public:
    /// @pre  `spec`, `backend` and `gradients` outlive the object; the backend's memory is the
    ///   host's, and weights are loaded as values, not packed
    BackwardPass(const ModelSpec& spec, const kernels::Backend& backend,
                 const kernels::Gradients& gradients, std::size_t max_sequence_length);

    /// The pass that makes what this one goes back over.
    [[nodiscard]] ForwardPass& forward() { return forward_; }

    /// From what leaves the last block, before the final norm: the derivative of the loss by it.
    ///   hidden, d [tokens, the stream's width after the blocks]
    void head(const LoadedWeights& head, const TokenSequences& batch,
              MatrixView<const float> hidden, const LossGradient& loss, MatrixView<float> d,
              const GradientObserver& observe = {});

    /// In place: d, the derivative by a block's output, becomes that by its input, which is
    /// returned. The two lie in the same memory, rows packed, as ForwardPass::block() has it.
    ///   input [tokens, the stream's width before the block]
    MatrixView<float> block(const LoadedWeights& weights, const TokenSequences& batch,
                            MatrixView<const float> input, MatrixView<float> d,
                            const GradientObserver& observe = {});

    /// From the derivative by what enters the first block, which is overwritten.
    void embed(const LoadedWeights& embedding, const TokenSequences& batch, MatrixView<float> d,
               const GradientObserver& observe);

private:
    /// A block or a step of it on its way back.
    struct Step {
        const LoadedWeights& weights;
        const TokenSequences& batch;
        const GradientObserver& observe;
    };
    MatrixView<float> norm_first(const Step& at, std::size_t number, MatrixView<const float> input,
                                 MatrixView<float> d);
    void norm_last(const Step& at, std::size_t number, MatrixView<const float> input,
                   MatrixView<float> d);
    MatrixView<float> both_at_once(const Step& at, MatrixView<const float> input,
                                   MatrixView<float> d);
    /// dx [tokens, hidden] = derivative by attention's input x, from that by its output.
    void attention(const Step& at, MatrixView<const float> x, MatrixView<const float> d_update,
                   MatrixView<float> dx);
    void mlp(const Step& at, MatrixView<const float> x, MatrixView<const float> d_update,
             MatrixView<float> dx);
    void classifier(const LoadedWeights& head, const TokenSequences& batch,
                    MatrixView<const float> x, const LossGradient& loss, MatrixView<float> d,
                    const GradientObserver& observe);
    void language_model(const LoadedWeights& head, MatrixView<const float> x,
                        const LossGradient& loss, MatrixView<float> dx,
                        const GradientObserver& observe);
    /// From dy by a linear layer's output, which is shown to the observer: dx, or dx +=.
    void linear(const LoadedWeights& weights, Role role, MatrixView<const float> dy,
                bool accumulate, MatrixView<float> dx, const GradientObserver& observe) const;
    void norm(const LoadedWeights& weights, Role role, MatrixView<const float> x,
              MatrixView<const float> dy, MatrixView<float> dx) const;
    void stream_norm(const LoadedWeights& weights, Role role, MatrixView<const float> x,
                     MatrixView<const float> dy, MatrixView<float> dx) const;
    /// Of each head of q or k before its norm, in place.
    void head_norm(const Step& at, Role role, MatrixView<const float> x, MatrixView<float> d) const;
    void reserve(std::size_t tokens);

    const ModelSpec& spec_;
    const kernels::Backend& backend_;
    const kernels::Gradients& gradients_;
    ForwardPass forward_;

    std::size_t reserved_tokens_ = 0;
    kernels::Array<float> middle_;         ///< [tokens, hidden] the stream between two steps
    kernels::Array<float> x_;              ///< [tokens, hidden] what a step reads
    kernels::Array<float> dx_;             ///< [tokens, hidden] derivative by it
    kernels::Array<float> d_skip_;         ///< [tokens, hidden] past the step
    kernels::Array<float> raw_q_, raw_k_;  ///< [tokens, heads * head_dim] before their norms
    kernels::Array<float> dq_, dk_, dv_, dmixed_;
    kernels::Array<float> dhidden_;  ///< [tokens, intermediate]
    kernels::Array<float> narrow_;   ///< [tokens, embedding_size]
    kernels::Array<float> logits_;   ///< [logit_rows, n_outputs]
};

}  // namespace lathe
