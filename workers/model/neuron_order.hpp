#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lib/job/run_directory.hpp"
#include "lib/model/model_spec.hpp"

namespace lathe {

// The neurons of a feed-forward layer may stand in any order: rows of up and gate, elements of
// their biases and columns of down, moved together, leave the layer's function as it is.

/// At place i stands neuron order[i] of the model as it is stored. A permutation of all of them.
using NeuronOrder = std::vector<std::uint32_t>;

/// @throws DataError  naming `where` and the block, if one has no feed-forward layer whose neurons
///   can be moved: up (and gate), alone or fused, and down, with one row and one column a neuron
void require_neurons(const ModelSpec& spec, const std::string& where);

/// Whether the neurons' order changes the tensor.
[[nodiscard]] bool holds_neurons(const TensorSpec& tensor);

/// The elements of such a tensor, in the order of its shape, with its neurons in order.
[[nodiscard]] std::vector<std::byte> in_neuron_order(const TensorSpec& tensor,
                                                     std::span<const std::uint32_t> order,
                                                     std::span<const std::byte> elements,
                                                     std::size_t element_bytes);
/// The same of the Gram matrix of the neurons' activations, [order.size(), order.size()].
[[nodiscard]] std::vector<float> in_neuron_order(std::span<const float> gram,
                                                 std::span<const std::uint32_t> order);

/// The orders that a run found, by block (RunDirectory::neurons()).
/// @throws MissingInputError; DataError  naming the file: not a permutation of the block's neurons
[[nodiscard]] std::vector<NeuronOrder> read_neuron_orders(const RunDirectory& run,
                                                          const ModelSpec& spec);

/// Of each block how much of the sum of `values` (a dataset of RunDirectory::neurons()) the first
/// neurons in order have: 1 of them, 2, ...; all 0 where the sum is. @throws as
/// read_neuron_orders()
[[nodiscard]] std::vector<std::vector<double>> read_held_shares(const RunDirectory& run,
                                                                std::span<const NeuronOrder> orders,
                                                                const std::string& values);

}  // namespace lathe
