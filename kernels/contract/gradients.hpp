#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "kernels/contract/backend.hpp"
#include "kernels/contract/kernel_list.hpp"

namespace lathe::kernels {

/// The derivatives of the forward pass's operations (backend.hpp), in host memory. A name that
/// begins with d is the derivative of a loss by what the rest of the name says: for y = f(x) a
/// function takes dy and gives dx.
///
/// `reference` is the definition, in plain fp64 loops; `cpu` agrees with it, row by row relative in
/// the 2-norm, to 1e-5. Results do not depend on the number of threads.
/// All functions throw ShapeError when extents do not fit together, naming both.
class Gradients {
public:
    virtual ~Gradients() = default;

    /// Of y = x @ w^T (+ bias): dx = dy @ w, or dx += dy @ w.
    ///   dy [T, out], w [out, in], dx [T, in]; dx is not dy
    void linear(MatrixView<const float> dy, MatrixView<const float> w, bool accumulate,
                MatrixView<float> dx) const;

    /// Of Backend::rms_norm() and layer_norm(). x, dy, dx [T, d], weight [d]; dx may be dy.
    void rms_norm(MatrixView<const float> x, std::span<const float> weight, float epsilon,
                  MatrixView<const float> dy, MatrixView<float> dx) const;
    void layer_norm(MatrixView<const float> x, std::span<const float> weight, float epsilon,
                    MatrixView<const float> dy, MatrixView<float> dx) const;

    /// Of Backend::rope(), in place: the rotation backwards.
    ///   dx [T, n_heads * head_dim]; cos, sin [n_positions, r/2]; positions [T]
    void rope(MatrixView<float> dx, std::size_t head_dim, MatrixView<const float> cos,
              MatrixView<const float> sin, std::span<const std::uint32_t> positions) const;

    /// Of Backend::attention(), whose weights are computed again from q and k.
    ///   q, dy, dq  [rows, n_heads * head_dim]
    ///   k, v, dk, dv  [rows, n_kv_heads * head_dim]; rows as there
    void attention(MatrixView<const float> q, MatrixView<const float> k, MatrixView<const float> v,
                   const AttentionShape& shape, MatrixView<const float> dy, MatrixView<float> dq,
                   MatrixView<float> dk, MatrixView<float> dv) const;

    /// Of y = f(x). x, dy, dx [T, d]; dx may be x or dy. Of relu f'(0) = 0.
    void activate(Activation kind, MatrixView<const float> x, MatrixView<const float> dy,
                  MatrixView<float> dx) const;

    /// Of y = f(gate) * up. All [T, d]; d_gate may be gate, d_up may be up.
    void activate_multiply(Activation kind, MatrixView<const float> gate,
                           MatrixView<const float> up, MatrixView<const float> dy,
                           MatrixView<float> d_gate, MatrixView<float> d_up) const;

    /// Of Backend::cross_entropy(): the probabilities, less 1 at the target.
    ///   logits, d_logits [T, V]; targets [T]; d_logits may be logits
    /// @throws DataError  if a target is not below V
    void cross_entropy(MatrixView<const float> logits, std::span<const std::uint32_t> targets,
                       MatrixView<float> d_logits) const;

    /// Draws an output of each row from its softmax: the first whose cumulative probability, summed
    /// in fp64 in the order of the outputs, exceeds uniform[t].
    ///   logits [T, V], V > 0; uniform [T] in [0, 1); targets [T]
    void sample(MatrixView<const float> logits, std::span<const double> uniform,
                std::span<std::uint32_t> targets) const;

    /// sums[j] += the sum of x_tj^2 over t, in fp64 in the order of t. x [T, d]; sums [d]
    void add_squares(MatrixView<const float> x, std::span<double> sums) const;

    /// sums[t] += the sum of x_tj^2 over j, in fp64. x [T, d]; sums [T]
    void add_row_squares(MatrixView<const float> x, std::span<double> sums) const;

private:
#define LATHE_KERNEL LATHE_PURE_KERNEL
#include "kernels/contract/gradients.def"
#undef LATHE_KERNEL
};

}  // namespace lathe::kernels
