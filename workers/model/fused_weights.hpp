#pragma once

#include <vector>

#include "lib/model/stream.hpp"
#include "workers/model/source_model.hpp"
#include "workers/model/weight_source.hpp"

namespace lathe {

/// A source model's weights with the parameters of the norms of the residual stream moved into the
/// layers around them, in fp64: what the norms scale and shift goes into the layers that read them;
/// that LayerNorms take the mean away goes into the embeddings and the layers that write to the
/// stream. What is left of a norm is x / sqrt(|x|^2 / hidden_size + epsilon), which commutes with
/// rotations. The function of the model stays the same.
/// Source: Ashkboos et al. 2024, arXiv:2401.15024, section 3; means only where a LayerNorm is.
class FusedWeights final : public WeightSource {
public:
    /// `fused` is sliced_spec() of `spec` without cuts. @pre  all outlive the object
    FusedWeights(const ModelSpec& spec, const WeightSource& weights, const ModelSpec& fused)
        : spec_(spec), weights_(weights), fused_(fused) {}

    /// Tensor `index` of the fused model, row-major in the order of its shape.
    [[nodiscard]] std::vector<double> values(std::size_t index,
                                             const kernels::Backend& backend) const;
    void load(std::size_t index, const kernels::Backend& backend,
              MatrixView<float> values) const override;

    /// The same of a tensor that a model has which keeps one table for embedding and head: the
    /// source's table itself, and between it and the stream the projections [hidden_size,
    /// hidden_size], which hold what else would go into the two tables.
    [[nodiscard]] std::vector<double> around_shared_table(const TensorSpec& tensor,
                                                          const kernels::Backend& backend) const;

private:
    [[nodiscard]] std::vector<double> source_values(std::size_t index,
                                                    const kernels::Backend& backend) const;
    /// Of a norm, as far as the model has it. Empty: none.
    [[nodiscard]] std::vector<double> norm_values(std::optional<Role> norm,
                                                  std::optional<std::size_t> block, bool is_bias,
                                                  const kernels::Backend& backend) const;
    [[nodiscard]] std::vector<double> weight(const TensorSpec& tensor,
                                             const kernels::Backend& backend) const;
    [[nodiscard]] std::vector<double> bias(const TensorSpec& tensor,
                                           const kernels::Backend& backend) const;
    void apply_embedding_norm(MatrixView<double> table, const kernels::Backend& backend) const;

    const ModelSpec& spec_;
    const WeightSource& weights_;
    const ModelSpec& fused_;
};

/// A source model seen with its norms fused.
struct FusedModel {
    /// @throws DataError  if the model cannot be sliced. @pre  `source` outlives the object
    explicit FusedModel(const SourceModel& source)
        : spec(
              sliced_spec(source.spec, StreamShape::uncut(source.spec), source.directory.string())),
          source_weights(source),
          weights(source.spec, source_weights, spec) {}
    FusedModel(const FusedModel&) = delete;
    FusedModel& operator=(const FusedModel&) = delete;

    ModelSpec spec;
    SourceWeights source_weights;
    FusedWeights weights;
};

}  // namespace lathe
