#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "workers/job/job_context.hpp"
#include "workers/network/backward.hpp"

namespace lathe {

/// Gives who sees the derivatives of a block; without a block those of what stands outside: the
/// head, and at the end the embedding.
using PlaceObserver = std::function<GradientObserver(std::optional<std::size_t> block)>;

/// All samples at once forwards through the model and back; each block's input is kept from the
/// forward pass. Blocks are loaded one after another, twice.
///   loss  with rows of `samples`
/// @pre  `backend` and `gradients` work in host memory
/// @throws DataError  derivatives that are not finite
void walk_back(const ModelSpec& spec, const WeightSource& weights, const kernels::Backend& backend,
               const kernels::Gradients& gradients, const TokenSequences& samples,
               const LossGradient& loss, const PlaceObserver& observer_at);

/// The loss -log p(label), with labels drawn from the model's own outputs. The mean of g g^T is
/// then the Fisher information, the second derivative of the divergence KL(model || changed model),
/// which is what the search keeps low; with the texts' own tokens it would belong to another
/// measure. The output of a model with one output counts as the mean of a unit normal distribution.
/// The random number of a row is its own; `start` is the number of the samples' first row. Source:
/// Martens, Grosse 2015 (K-FAC), arXiv:1503.05671, sections 2.1 and 5.
[[nodiscard]] LossGradient drawn_labels(const kernels::Gradients& gradients, std::uint64_t seed,
                                        std::uint64_t start);

/// Where derivatives are computed: on the host, whatever the job's backend.
struct HostGradients {
    explicit HostGradients(const JobContext& context);
    std::unique_ptr<const kernels::Backend> backend;
    std::unique_ptr<const kernels::Gradients> gradients;
};

}  // namespace lathe
