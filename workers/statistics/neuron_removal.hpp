#pragma once

#include "kernels/contract/backend.hpp"
#include "workers/model/neuron_order.hpp"

namespace lathe {

/// The neurons of a feed-forward layer in the order in which they are best kept: the last one is
/// that whose removal harms the layer's output least, the one before it that of what is then left,
/// and so on. After each removal the columns of down that are left make up for it as well as least
/// squares can. So the first h neurons in order are a greedy choice of those that h columns
/// refitted to the layer's output need; that a neuron is loud does not count if others say the
/// same.
///
/// With H the Gram matrix and V its inverse among the neurons left, removing j adds |W_j|^2 / V_jj
/// to the squared error, W being refitted; then W loses W_j V_j: / V_jj, and V V_:j V_j: / V_jj.
/// Source: optimal brain surgeon for columns, as in ZipLM (arXiv:2302.04089).
///   gram [n, n]    of the neurons' activations, a mean; both triangles, host memory
///   down [out, n]  host memory
/// 1 % of the mean diagonal is added to gram. Neurons that are always 0 go first. Equal ones: the
/// higher index goes first. About 3 n^2 (n + out) FLOP and 8 (3 n^2 + 2 n out) bytes.
/// @throws DataError  if gram is not positive definite
[[nodiscard]] NeuronOrder removal_order(MatrixView<const float> gram, MatrixView<const float> down,
                                        const kernels::Backend& backend);

}  // namespace lathe
