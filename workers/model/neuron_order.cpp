#include "workers/model/neuron_order.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "workers/model/weight_source.hpp"

namespace lathe {
namespace {

/// A row for each neuron, a bias too.
bool has_neuron_rows(Role role) {
    return role == Role::up_proj || role == Role::gate_proj;
}

bool has_neuron_columns(const TensorSpec& tensor) {
    return tensor.role == Role::down_proj && !tensor.is_bias;
}

/// For each row of a tensor the row that takes its place.
std::vector<std::uint32_t> moved_rows(const TensorSpec& tensor,
                                      std::span<const std::uint32_t> order) {
    if (tensor.fused.parts.empty()) {
        return {order.begin(), order.end()};
    }
    std::vector<std::uint32_t> rows(tensor.shape.at(0));
    std::iota(rows.begin(), rows.end(), 0U);
    const auto parts = rows_of_parts(tensor);
    for (std::size_t p = 0; p < parts.size(); ++p) {
        for (std::size_t i = 0; has_neuron_rows(tensor.fused.parts[p].role) && i < parts[p].size();
             ++i) {
            rows[parts[p][i]] = parts[p].at(order[i]);
        }
    }
    return rows;
}

/// Rows of up and gate, the biases' as well, that are not `n_neurons` for each.
bool has_other_rows(const TensorSpec& tensor, std::size_t n_neurons) {
    if (tensor.fused.parts.empty()) {
        return has_neuron_rows(tensor.role) && tensor.shape.at(0) != n_neurons;
    }
    return std::ranges::any_of(tensor.fused.parts, [&](const FusedRows::Part& part) {
        return has_neuron_rows(part.role) && part.rows * tensor.fused.n_groups != n_neurons;
    });
}

bool is_permutation_of(const NeuronOrder& order, std::size_t n_neurons) {
    std::vector<bool> seen(n_neurons, false);
    for (const std::uint32_t neuron : order) {
        if (neuron >= n_neurons || seen[neuron]) {
            return false;
        }
        seen[neuron] = true;
    }
    return order.size() == n_neurons;
}

}  // namespace

void require_neurons(const ModelSpec& spec, const std::string& where) {
    for (std::size_t block = 0; block < spec.n_blocks; ++block) {
        const auto refuse = [&](const std::string& reason) {
            throw DataError(where + ": the neurons of block " + std::to_string(block) +
                            " cannot be put in order (ffsplit): " + reason);
        };
        const auto down = spec.find(Role::down_proj, block);
        if (!down) {
            refuse("it has no down projection");
        }
        const std::size_t n_neurons = spec.tensors[*down].shape.back();
        std::size_t n_inputs = 0;
        for (const TensorSpec& tensor : spec.tensors) {
            if (tensor.block != block || !holds_neurons(tensor) || has_neuron_columns(tensor)) {
                continue;
            }
            n_inputs += tensor.is_bias ? 0 : 1;
            if (has_other_rows(tensor, n_neurons)) {
                refuse(tensor.name + " has shape " + to_string(tensor.shape) +
                       ", not a row for each of the " + std::to_string(n_neurons) +
                       " columns of down");
            }
        }
        if (n_inputs == 0) {
            refuse("it has no up projection");
        }
    }
}

bool holds_neurons(const TensorSpec& tensor) {
    return has_neuron_columns(tensor) || has_neuron_rows(tensor.role) ||
           std::ranges::any_of(tensor.fused.parts, has_neuron_rows, &FusedRows::Part::role);
}

std::vector<std::byte> in_neuron_order(const TensorSpec& tensor,
                                       std::span<const std::uint32_t> order,
                                       std::span<const std::byte> elements,
                                       std::size_t element_bytes) {
    std::vector<std::byte> result(elements.size());
    if (has_neuron_columns(tensor)) {
        const std::size_t row_bytes = order.size() * element_bytes;
        for (std::size_t row = 0; row < elements.size(); row += row_bytes) {
            for (std::size_t j = 0; j < order.size(); ++j) {
                std::memcpy(result.data() + row + j * element_bytes,
                            elements.data() + row + order[j] * element_bytes, element_bytes);
            }
        }
        return result;
    }
    const std::vector<std::uint32_t> rows = moved_rows(tensor, order);
    const std::size_t row_bytes = elements.size() / rows.size();
    for (std::size_t i = 0; i < rows.size(); ++i) {
        std::memcpy(result.data() + i * row_bytes, elements.data() + rows[i] * row_bytes,
                    row_bytes);
    }
    return result;
}

std::vector<float> in_neuron_order(std::span<const float> gram,
                                   std::span<const std::uint32_t> order) {
    std::vector<float> result(gram.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
        const float* const row = gram.data() + order[i] * order.size();
        std::ranges::transform(order,
                               result.begin() + static_cast<std::ptrdiff_t>(i * order.size()),
                               [&](std::uint32_t j) { return row[j]; });
    }
    return result;
}

std::vector<NeuronOrder> read_neuron_orders(const RunDirectory& run, const ModelSpec& spec) {
    std::vector<NeuronOrder> orders;
    for (std::size_t block = 0; block < spec.n_blocks; ++block) {
        const std::filesystem::path file = run.neurons(block_name(block));
        const std::size_t n_neurons =
            spec.tensors[spec.find(Role::down_proj, block).value()].shape.back();
        NeuronOrder& order = orders.emplace_back(n_neurons);
        ArtifactReader(file).read_into("/order", reinterpret_cast<std::byte*>(order.data()),
                                       order.size() * sizeof(order[0]));
        if (!is_permutation_of(order, n_neurons)) {
            throw DataError(file.string() + ": /order is not a permutation of the block's " +
                            std::to_string(n_neurons) + " neurons; remove the file");
        }
    }
    return orders;
}

std::vector<std::vector<double>> read_held_shares(const RunDirectory& run,
                                                  std::span<const NeuronOrder> orders,
                                                  const std::string& values) {
    std::vector<std::vector<double>> shares;
    for (std::size_t block = 0; block < orders.size(); ++block) {
        std::vector<double> own(orders[block].size());
        ArtifactReader(run.neurons(block_name(block)))
            .read_into("/" + values, reinterpret_cast<std::byte*>(own.data()),
                       own.size() * sizeof(double));
        std::vector<double>& sums = shares.emplace_back();
        double sum = 0.0;
        for (const std::uint32_t neuron : orders[block]) {
            sums.push_back(sum += own[neuron]);
        }
        for (double& share : sums) {
            share = sum > 0.0 ? share / sum : 0.0;
        }
    }
    return shares;
}

}  // namespace lathe
