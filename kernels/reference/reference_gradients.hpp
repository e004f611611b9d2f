#pragma once

#include "kernels/gradients.hpp"

namespace lathe::kernels {

/// The definition: one thread, plain loops, sums in fp64, written to be read.
class ReferenceGradients final : public Gradients {
private:
    void do_linear(MatrixView<const float> dy, MatrixView<const float> w, bool accumulate,
                   MatrixView<float> dx) const override;
    void do_rms_norm(MatrixView<const float> x, std::span<const float> weight, float epsilon,
                     MatrixView<const float> dy, MatrixView<float> dx) const override;
    void do_layer_norm(MatrixView<const float> x, std::span<const float> weight, float epsilon,
                       MatrixView<const float> dy, MatrixView<float> dx) const override;
    void do_rope(MatrixView<float> dx, std::size_t head_dim, MatrixView<const float> cos,
                 MatrixView<const float> sin,
                 std::span<const std::uint32_t> positions) const override;
    void do_attention(MatrixView<const float> q, MatrixView<const float> k,
                      MatrixView<const float> v, const AttentionShape& shape,
                      MatrixView<const float> dy, MatrixView<float> dq, MatrixView<float> dk,
                      MatrixView<float> dv) const override;
    void do_activate(Activation kind, MatrixView<const float> x, MatrixView<const float> dy,
                     MatrixView<float> dx) const override;
    void do_activate_multiply(Activation kind, MatrixView<const float> gate,
                              MatrixView<const float> up, MatrixView<const float> dy,
                              MatrixView<float> d_gate, MatrixView<float> d_up) const override;
    void do_cross_entropy(MatrixView<const float> logits, std::span<const std::uint32_t> targets,
                          MatrixView<float> d_logits) const override;
    void do_sample(MatrixView<const float> logits, std::span<const double> uniform,
                   std::span<std::uint32_t> targets) const override;
    void do_add_squares(MatrixView<const float> x, std::span<double> sums) const override;
};

}  // namespace lathe::kernels
