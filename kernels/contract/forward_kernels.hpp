#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/contract/kernel_list.hpp"
#include "lib/core/activation.hpp"
#include "lib/core/matrix_view.hpp"

namespace lathe::kernels {

/// Which queries see which keys. A sequence has `query_length` queries, which are the last of its
/// `key_length` positions; the two differ only in generation with a key-value cache. With `lengths`
/// each sequence has its own length instead.
struct AttentionShape {
    std::size_t n_sequences = 1;
    std::size_t query_length = 0;
    std::size_t key_length = 0;
    std::size_t n_heads = 0;
    /// Divides n_heads; head h reads key-value head h / (n_heads / n_kv_heads).
    std::size_t n_kv_heads = 0;
    std::size_t head_dim = 0;
    float scale = 1.0F;      ///< multiplies q.k before the softmax
    bool causal = true;      ///< a query at position p sees keys 0..p only; false: all keys
    std::size_t window = 0;  ///< if > 0, of those only the last `window`
    /// If not empty [n_sequences]: sequence s has lengths[s] queries and as many keys, 0 allowed;
    /// query_length and key_length are ignored. The rows of one sequence follow those of the one
    /// before without padding.
    std::span<const std::uint32_t> lengths;
    /// If not empty [n_heads]: slope * (key position - query position) is added to the scaled
    /// score. Source: Press et al. 2021, arXiv:2108.12409.
    std::span<const float> alibi_slopes;
};

/// What a forward pass is made of, and the losses of its logits. Part of Backend, which says what
/// holds for all kernels.
class ForwardKernels {
public:
    /// y[t] = table[ids[t]].  ids [T], table [V, D], y [T, D]. Exact.
    /// @throws DataError  if an id is not below V
    void embed(std::span<const std::uint32_t> ids, MatrixView<const float> table,
               MatrixView<float> y) const;

    /// y[t] += table[ids[t]], with the shapes and errors of embed. Exact.
    void add_embedding(std::span<const std::uint32_t> ids, MatrixView<const float> table,
                       MatrixView<float> y) const;

    /// y = x @ w^T + bias.  x [T, in], w [out, in], bias [out] or empty, y [T, out]; y not x.
    /// Relative 2-norm difference per row: 1e-5.
    void linear(MatrixView<const float> x, MatrixView<const float> w, std::span<const float> bias,
                MatrixView<float> y) const;

    /// linear() of x and w rounded to bfloat16 (to nearest even); products and sums in fp32.
    /// Relative 2-norm difference per row from the exact product of the rounded: 1e-5.
    void linear_bf16(MatrixView<const float> x, MatrixView<const float> w,
                     std::span<const float> bias, MatrixView<float> y) const;

    /// y = x / sqrt(mean(x^2) + epsilon) * weight, row by row; y may be x. Relative 1e-6.
    /// A row is whatever `weight` is as long as: a token, or one head of a token in the view
    /// [T * n_heads, head_dim] of a packed matrix.
    void rms_norm(MatrixView<const float> x, std::span<const float> weight, float epsilon,
                  MatrixView<float> y) const;

    /// y = (x - mean(x)) / sqrt(variance(x) + epsilon) * weight + bias, row by row; the variance is
    /// the mean of the squared deviations. `bias` may be empty, y may be x.
    /// Relative to |y - bias| + |bias|: 1e-6.
    void layer_norm(MatrixView<const float> x, std::span<const float> weight,
                    std::span<const float> bias, float epsilon, MatrixView<float> y) const;

    /// Rotates pairs (i, i + r/2) of the first r = 2 * cos.cols elements of each head of x by the
    /// angle of row positions[t] of the tables (the "half-split" layout of Hugging Face models).
    ///   x [T, n_heads * head_dim] in place; cos, sin [n_positions, r/2]; positions [T]
    void rope(MatrixView<float> x, std::size_t head_dim, MatrixView<const float> cos,
              MatrixView<const float> sin, std::span<const std::uint32_t> positions) const;

    /// Scaled dot-product attention with grouped heads.
    ///   q, y [n_sequences * query_length, n_heads * head_dim]
    ///   k, v [n_sequences * key_length, n_kv_heads * head_dim]
    /// or with shape.lengths all of them [sum of lengths, ...].
    /// What a query does not see does not count, not even NaN or infinity.
    /// Relative 2-norm difference per row: 1e-5.
    void attention(MatrixView<const float> q, MatrixView<const float> k, MatrixView<const float> v,
                   const AttentionShape& shape, MatrixView<float> y) const;

    /// y = f(x), element by element; y may be x.
    /// Relative 1e-6, or absolute 1e-35 where that is more.
    void activate(Activation kind, MatrixView<const float> x, MatrixView<float> y) const;

    /// y = f(gate) * up, element by element; y may be gate or up.
    /// Relative 1e-6, or absolute 1e-35 * |up| where that is more.
    void activate_multiply(Activation kind, MatrixView<const float> gate,
                           MatrixView<const float> up, MatrixView<float> y) const;

    /// y += x. Exact.
    void add(MatrixView<const float> x, MatrixView<float> y) const;

    /// z = x - y, element by element; z may be x or y. Exact.
    void subtract(MatrixView<const float> x, MatrixView<const float> y, MatrixView<float> z) const;

    /// False if any element is NaN or infinite.
    [[nodiscard]] bool all_finite(MatrixView<const float> x) const;

    /// losses[t] = -log softmax(logits[t])[targets[t]], in nats. Relative 1e-6.
    void cross_entropy(MatrixView<const float> logits, std::span<const std::uint32_t> targets,
                       std::span<double> losses) const;

    /// kl[t] = KL(softmax(p_logits[t]) || softmax(q_logits[t])), in nats, summed in fp64; exactly 0
    /// for equal rows. agree[t] = 1 if both have their (first) maximum in the same place.
    void kl_divergence(MatrixView<const float> p_logits, MatrixView<const float> q_logits,
                       std::span<double> kl, std::span<std::uint8_t> agree) const;

protected:
    ~ForwardKernels() = default;

private:
#define LATHE_KERNEL LATHE_PURE_KERNEL
#include "kernels/contract/forward_kernels.def"
#undef LATHE_KERNEL
};

}  // namespace lathe::kernels
