#include "orchestrator/estimate/model_sums.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "workers/candidates/compression.hpp"

namespace lathe {

namespace {

/// The distinct linear inputs of the model: their widths.
std::vector<std::pair<Signal, std::size_t>> block_signals(const ModelSpec& spec) {
    std::vector<std::pair<Signal, std::size_t>> signals;
    for (const UnitSpec& unit : spec.units) {
        if (unit.block != std::optional<std::size_t>(0)) {
            continue;
        }
        const std::size_t width = spec.tensors[unit.tensors.front()].shape.back();
        const bool seen = std::ranges::any_of(
            signals, [&](const auto& signal) { return signal.first == unit.input; });
        if (!seen) {
            signals.emplace_back(unit.input, width);
        }
    }
    return signals;
}

}  // namespace

double block_weights(const ModelSpec& spec) {
    double n = 0.0;
    for (const TensorSpec& tensor : spec.tensors) {
        if (tensor.block == std::optional<std::size_t>(0)) {
            n += static_cast<double>(element_count(tensor.shape));
        }
    }
    return n;
}

double gram_elements(const ModelSpec& spec) {
    double n = 0.0;
    for (const auto& [signal, width] : block_signals(spec)) {
        n += static_cast<double>(width) * static_cast<double>(width);
    }
    return n;
}

double block_flops(const ModelSpec& spec, double length) {
    const double attention =
        2.0 * length * static_cast<double>(spec.n_heads * spec.head_dim);  // causal: half of 4
    return 2.0 * block_weights(spec) + attention;
}

double head_flops(const ModelSpec& spec) {
    return 2.0 * static_cast<double>(spec.head_width()) * static_cast<double>(spec.n_outputs());
}

double forward_flops(const ModelSpec& spec, double length, bool with_head) {
    return static_cast<double>(spec.n_blocks) * block_flops(spec, length) +
           (with_head ? head_flops(spec) : 0.0);
}

std::uint64_t candidate_bytes(const ModelOutline& model, std::size_t unit,
                              const std::vector<Setting>& settings) {
    std::uint64_t bytes = 0;
    for (const Setting& setting : settings) {
        bytes += setting == source_setting() ? 0 : predicted_bytes(model, unit, setting);
    }
    return bytes;
}

}  // namespace lathe
