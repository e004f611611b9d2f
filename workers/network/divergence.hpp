#pragma once

#include <cstdint>
#include <span>

#include "kernels/contract/backend.hpp"

namespace lathe {

/// Divergence of q from p, row by row: KL(softmax p || softmax q) in nats, and for a model with one
/// output (p - q)^2 / 2, the divergence of two unit normal distributions with these means.
/// agree[r]: both have their largest output in the same place. The logits lie in host memory.
void divergence(const kernels::Backend& backend, MatrixView<const float> p,
                MatrixView<const float> q, std::span<double> kl, std::span<std::uint8_t> agree);
/// The sum of divergence() over the rows, in their order.
[[nodiscard]] double total_divergence(const kernels::Backend& backend, MatrixView<const float> p,
                                      MatrixView<const float> q);

}  // namespace lathe
