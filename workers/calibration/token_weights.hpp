#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lib/model/model_spec.hpp"
#include "workers/calibration/output_gradients.hpp"

namespace lathe {

/// What calibration tokens count in the Gram matrices of jobs with `calibration.weighting: loss`. A
/// token's weight at a linear input is the root of the mean of (dl / dy_j)^2 over the outputs y_j
/// of all units that read the input, l being the loss of drawn_labels(). Solvers keep low
///   sum over t of w_t |(W - V) x_t|^2,
/// so tokens count on whose outputs the loss depends. Weights have the mean 1 over all tokens, so
/// that sums keep their scale.
/// Source: Kim et al. 2025 (GuidedQuant), arXiv:2505.07004, with one group of outputs. There the
/// mean itself is the weight: with it the error is, up to the outputs' part, what the change does
/// to the divergence. But a hundredth of the tokens then makes up a tenth to a sixth of all
/// weights, and fitting to so few does harm. The root was measured to be better
/// (docs/performance.md).
class TokenWeights {
public:
    /// Of a block, or of what stands behind the blocks. @throws DataError
    static TokenWeights read(const RunDirectory& run, const ModelSpec& spec,
                             std::optional<std::size_t> block, std::size_t n_parts);

    /// Roots of the weights of a batch, in the order of its rows; empty for a signal that no
    /// unit with outputs reads. `batch` is the number of one of the calibration samples'
    /// ranges(tokens_per_batch).
    [[nodiscard]] std::span<const float> factors(Signal signal, std::size_t batch) const;

private:
    std::map<Signal, std::vector<std::vector<float>>> factors_;  ///< by batch
};

/// Of a place, for each linear input that units there read, the mean squares of each row before
/// they are normalised. Without a block: what stands behind the blocks.
using TokenSquares = std::map<std::optional<std::size_t>, std::map<Signal, std::vector<float>>>;

/// Of all samples at once, by one walk_back(), whose conditions hold.
[[nodiscard]] TokenSquares token_squares(const ModelSpec& spec, const WeightSource& weights,
                                         const kernels::Backend& backend,
                                         const kernels::Gradients& gradients,
                                         const TokenSequences& samples, const LossGradient& loss);

/// Finds them for one batch of a job's samples. Artifact: RunDirectory::token_weights(), a group
/// for each block and "head", with a dataset float32 [rows] for each signal, not normalised.
void run_token_weights(const JobContext& context, const GradientTask& task);

}  // namespace lathe
