#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "workers/job/job_context.hpp"
#include "workers/network/backward.hpp"

namespace lathe {

/// Calibration tokens, the first ones, that second moments come from. A mean of squares over so
/// many has a standard error of a few per cent, far below the steps from candidate to candidate.
inline constexpr std::size_t gradient_tokens = 8192;

/// For each tensor of a model that belongs to a unit: the sum of g_i^2 over tokens, for each output
/// i, where g_i is the derivative of a loss by the output. Outputs are the tensor's rows as they
/// are stored. For a token embedding they are its columns; for one that is tied to the head its
/// rows, as the head uses it, and then its columns. Empty for other tensors.
using OutputSquares = std::vector<std::vector<double>>;

/// Adds up the squares in one walk_back(), whose conditions hold.
[[nodiscard]] OutputSquares output_squares(const ModelSpec& spec, const WeightSource& weights,
                                           const kernels::Backend& backend,
                                           const kernels::Gradients& gradients,
                                           const TokenSequences& samples, const LossGradient& loss);

/// Does that for a job's model and drawn_labels(). Artifact: RunDirectory::gradients(), a dataset
/// of float64 named by its index for each tensor, and `rows`, those the head read.
struct GradientTask {
    std::size_t part = 0;
    std::uint64_t seed = 0;
    std::uint64_t first_row = 0;  ///< number of the first of the head's rows, for random numbers
    TokenSequences samples;
    std::string fingerprint;
};
[[nodiscard]] std::string to_json(const GradientTask& task);
[[nodiscard]] GradientTask gradient_task_from_json(const std::string& text);

void run_gradients(const JobContext& context, const GradientTask& task);

/// The squares of several parts, added in their order, over the number of rows the head read: what
/// a squared error of 1 of an output, at every token, does to twice the divergence.
/// @throws DataError
[[nodiscard]] OutputSquares read_output_sensitivities(const RunDirectory& run,
                                                      const ModelSpec& spec, std::size_t n_parts);

}  // namespace lathe
