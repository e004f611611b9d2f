#pragma once

#include "kernels/backend.hpp"
#include "kernels/cuda/context.hpp"

namespace lathe::kernels {

/// An NVIDIA device. Everything is put on one stream and comes back to the host only where a
/// function returns something there; kernels for exact results are compiled without contraction of
/// products and sums, and take sums in fp64 where the reference's order shows in decisions.
///
/// The overrides are public because device lambdas cannot be written in private functions.
class CudaBackend final : public Backend {
public:
    explicit CudaBackend(std::size_t device) : context_(std::make_shared<cuda::Context>(device)) {}
    [[nodiscard]] std::string_view name() const noexcept override { return "cuda"; }
    [[nodiscard]] bool multiplies_nm() const noexcept override { return false; }

    std::shared_ptr<void> do_allocate(std::size_t bytes) const override;
    void do_copy(const void* from, std::size_t from_pitch, void* to, std::size_t to_pitch,
                 std::size_t row_bytes, std::size_t rows) const override;
    void do_upload(const std::byte* host, DType dtype, MatrixView<float> y) const override;
    void do_download(MatrixView<const float> x, float* host) const override;
    void do_embed(std::span<const std::uint32_t> ids, MatrixView<const float> table,
                  MatrixView<float> y) const override;
    void do_add_embedding(std::span<const std::uint32_t> ids, MatrixView<const float> table,
                          MatrixView<float> y) const override;
    void do_linear(MatrixView<const float> x, MatrixView<const float> w,
                   std::span<const float> bias, MatrixView<float> y) const override;
    void do_linear_bf16(MatrixView<const float> x, MatrixView<const float> w,
                        std::span<const float> bias, MatrixView<float> y) const override;
    void do_rms_norm(MatrixView<const float> x, std::span<const float> weight, float epsilon,
                     MatrixView<float> y) const override;
    void do_layer_norm(MatrixView<const float> x, std::span<const float> weight,
                       std::span<const float> bias, float epsilon,
                       MatrixView<float> y) const override;
    void do_rope(MatrixView<float> x, std::size_t head_dim, MatrixView<const float> cos,
                 MatrixView<const float> sin,
                 std::span<const std::uint32_t> positions) const override;
    void do_attention(MatrixView<const float> q, MatrixView<const float> k,
                      MatrixView<const float> v, const AttentionShape& shape,
                      MatrixView<float> y) const override;
    void do_activate(Activation kind, MatrixView<const float> x,
                     MatrixView<float> y) const override;
    void do_activate_multiply(Activation kind, MatrixView<const float> gate,
                              MatrixView<const float> up, MatrixView<float> y) const override;
    void do_add(MatrixView<const float> x, MatrixView<float> y) const override;
    void do_subtract(MatrixView<const float> x, MatrixView<const float> y,
                     MatrixView<float> z) const override;
    bool do_all_finite(MatrixView<const float> x) const override;
    void do_cross_entropy(MatrixView<const float> logits, std::span<const std::uint32_t> targets,
                          std::span<double> losses) const override;
    void do_kl_divergence(MatrixView<const float> p_logits, MatrixView<const float> q_logits,
                          std::span<double> kl, std::span<std::uint8_t> agree) const override;
    void do_accumulate_gram(MatrixView<const float> x, MatrixView<double> gram) const override;
    void do_accumulate_column_statistics(MatrixView<const float> x,
                                         const ColumnStatistics& statistics) const override;
    void do_accumulate_stream_gram(MatrixView<const float> x,
                                   MatrixView<double> gram) const override;
    void do_multiply(MatrixView<const double> a, bool transpose_a, MatrixView<const double> b,
                     bool transpose_b, MatrixView<double> y) const override;
    void do_symmetric_eigen(std::span<const SymmetricEigenproblem> problems) const override;
    void do_inverse_factor(MatrixView<const double> gram, double damping,
                           MatrixView<float> factor) const override;
    void do_penalised_inverse(MatrixView<const float> a, std::span<const float> penalty,
                              MatrixView<float> inverse) const override;
    void do_symmetric_from_upper(MatrixView<const double> upper, std::span<const double> scale,
                                 MatrixView<float> y) const override;
    void do_row_errors(MatrixView<const float> delta, MatrixView<const float> gram,
                       std::span<double> errors) const override;
    void do_fit_integer_grid(MatrixView<const float> w, std::span<const float> importance,
                             const IntegerGridSettings& settings, MatrixView<float> scales,
                             MatrixView<float> zeros) const override;
    void do_round_to_grid(MatrixView<const float> w, const IntegerGridSettings& settings,
                          MatrixView<const float> scales, MatrixView<const float> zeros,
                          MatrixView<std::uint8_t> codes, MatrixView<float> values) const override;
    void do_gptq(MatrixView<float> w, MatrixView<const float> factor,
                 std::span<const float> importance, std::span<const std::uint32_t> order,
                 const IntegerGridSettings& settings, MatrixView<float> scales,
                 MatrixView<float> zeros, MatrixView<std::uint8_t> codes) const override;
    void do_choose_pattern(MatrixView<const float> w, std::span<const float> importance,
                           NmPattern pattern, MatrixView<std::uint8_t> keep) const override;
    void do_project(MatrixView<const float> w, const MatrixLimits& limits,
                    MatrixView<float> values) const override;
    void do_splitting_step(MatrixView<float> x, MatrixView<float> state,
                           MatrixView<const float> target, std::span<const float> penalty,
                           float shrink, const MatrixLimits& limits) const override;
    void do_descend_on_grid(MatrixView<const float> w, MatrixView<const float> gram,
                            const IntegerGridSettings& settings, std::size_t n_passes,
                            MatrixView<const std::uint8_t> keep, MatrixView<float> scales,
                            MatrixView<const float> zeros, MatrixView<std::uint8_t> codes,
                            MatrixView<float> values) const override;
    std::unique_ptr<const PackedMatrix> do_pack(const CodedMatrix& matrix) const override;
    std::unique_ptr<const PackedMatrix> do_pack_nm(const NmMatrix& matrix) const override;
    void do_linear_packed(MatrixView<const float> x,
                          std::span<const PackedProduct> products) const override;
    void do_embed_packed(std::span<const std::uint32_t> ids, const PackedMatrix& table,
                         MatrixView<float> y) const override;
    void do_fit_binary_codes(MatrixView<const float> w, std::span<const float> importance,
                             const BinaryCodeSettings& settings,
                             MatrixView<const std::uint8_t> keep,
                             const BinaryCodes& codes) const override;
    void do_round_to_levels(MatrixView<const float> w, const BinaryCodeSettings& settings,
                            const BinaryCodes& codes, MatrixView<float> values) const override;
    void do_sweep_binary_codes(MatrixView<float> w, MatrixView<const float> factor,
                               std::span<const float> importance,
                               const BinaryCodeSettings& settings,
                               const BinaryCodes& codes) const override;
    void do_descend_on_binary_codes(MatrixView<const float> w, MatrixView<const float> gram,
                                    const BinaryCodeSettings& settings, std::size_t n_passes,
                                    MatrixView<const std::uint8_t> keep, const BinaryCodes& codes,
                                    MatrixView<float> values) const override;
    void do_sweep_sparse(MatrixView<float> w, MatrixView<const float> factor, NmPattern pattern,
                         MatrixView<std::uint8_t> keep, const IntegerGridSettings* grid,
                         MatrixView<const float> scales,
                         MatrixView<const float> zeros) const override;
    void do_conjugate_step(MatrixView<const std::uint8_t> keep,
                           std::span<const float> inverse_diagonal, MatrixView<const float> product,
                           MatrixView<float> values, MatrixView<float> residual,
                           MatrixView<float> direction) const override;
    void do_exchange_places(MatrixView<const float> gram, NmPattern pattern, std::size_t n_passes,
                            MatrixView<std::uint8_t> keep, MatrixView<float> values,
                            MatrixView<float> gradient) const override;

private:
    /// Shared with the memory that it hands out, which may be freed after it.
    std::shared_ptr<const cuda::Context> context_;
};

}  // namespace lathe::kernels
