#pragma once

#include <functional>
#include <vector>

#include "kernels/backend.hpp"
#include "lib/model/model_spec.hpp"
#include "workers/weight_source.hpp"

namespace lathe {

/// Sequences of equal length, one after another: token t of sequence s is row s * length + t.
struct SequenceBatch {
    std::size_t n_sequences = 0;
    std::size_t length = 0;
    [[nodiscard]] std::size_t tokens() const { return n_sequences * length; }
};

/// How many sequences go through the model together: about 2048 tokens, at least one sequence.
/// A constant of the program, never of the machine: it decides how sums are grouped.
[[nodiscard]] std::size_t sequences_per_batch(std::size_t length);

/// Sees the input of the linear layers that read `signal`. x [tokens, features].
using SignalObserver = std::function<void(Signal signal, MatrixView<const float> x)>;

/// The forward pass of a model, block by block, in fp32. Holds the rotary tables and the memory
/// between operations, so that one object serves any number of blocks and batches. Not for use
/// from several threads at once: the parallelism is inside the backend.
class ForwardPass {
public:
    /// @pre  `spec` and `backend` outlive the object
    ForwardPass(const ModelSpec& spec, const kernels::Backend& backend,
                std::size_t max_sequence_length);

    /// hidden = embedding of ids.  ids [tokens]; hidden [tokens, hidden_size]
    void embed(const LoadedWeights& embedding, std::span<const std::uint32_t> ids,
               MatrixView<float> hidden) const;

    /// One block, in place: hidden [tokens, hidden_size] becomes the block's output.
    void block(const LoadedWeights& weights, const SequenceBatch& batch, MatrixView<float> hidden,
               const SignalObserver& observe = {});

    /// The final norm: y = norm(hidden), the input of the head. y may be hidden.
    void final_norm(const LoadedWeights& head, MatrixView<const float> hidden,
                    MatrixView<float> y) const;

    /// logits = x @ W^T + bias.  x [tokens, hidden_size] after the final norm; logits [tokens, V]
    void head(const LoadedWeights& head, MatrixView<const float> x,
              MatrixView<float> logits) const;

    /// The roles to load for embed() and for final_norm() and head(): a tied head reads the
    /// embedding's weight.
    [[nodiscard]] static std::vector<Role> embedding_roles();
    [[nodiscard]] std::vector<Role> head_roles() const;

private:
    void attention(const LoadedWeights& weights, const SequenceBatch& batch,
                   MatrixView<float> hidden, const SignalObserver& observe);
    void mlp(const LoadedWeights& weights, MatrixView<float> hidden,
             const SignalObserver& observe);
    void reserve(const SequenceBatch& batch);

    const ModelSpec& spec_;
    const kernels::Backend& backend_;
    kernels::Array<float> cos_;  ///< [max_sequence_length, rotary pairs]
    kernels::Array<float> sin_;
    std::size_t max_sequence_length_;

    std::size_t reserved_tokens_ = 0;
    SequenceBatch positions_of_;
    kernels::Array<std::uint32_t> positions_;  ///< [tokens]
    kernels::Array<float> normed_;             ///< [tokens, hidden]
    kernels::Array<float> q_, k_, v_;          ///< [tokens, heads * head_dim]
    kernels::Array<float> mixed_;              ///< [tokens, heads * head_dim]
    kernels::Array<float> gate_, up_;          ///< [tokens, intermediate]
};

}  // namespace lathe
