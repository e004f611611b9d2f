#include "workers/calibration/token_weights.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <set>

#include "lib/checkpoint/artifact.hpp"
#include "workers/calibration/gradient_walk.hpp"

namespace lathe {
namespace {

/// Of a block, or of what stands outside: for each role the sum of the squares of each row, and how
/// many squares that are.
struct RowSums {
    struct OfRole {
        std::vector<double> sums;
        std::size_t n_outputs = 0;
    };
    std::map<Role, OfRole> roles;

    [[nodiscard]] GradientObserver observer(const kernels::Gradients& gradients) {
        return [this, &gradients](Role role, MatrixView<const float> dy) {
            OfRole& own = roles[role];
            own.n_outputs = dy.cols;
            const std::size_t before = own.sums.size();  // the head comes a few rows at a time
            own.sums.resize(before + dy.rows);
            gradients.add_row_squares(dy, std::span(own.sums).subspan(before));
        };
    }
};

/// Roles that the backward pass shows for the outputs of a unit that reads a linear input.
std::set<Role> output_roles(const ModelSpec& spec, const UnitSpec& unit) {
    std::set<Role> roles;
    for (const std::size_t t : unit.tensors) {
        const TensorSpec& tensor = spec.tensors[t];
        for (const auto& part : tensor.fused.parts) {
            roles.insert(part.role);
        }
        if (tensor.fused.parts.empty()) {
            const bool is_tied = tensor.role == Role::token_embedding;
            roles.insert(is_tied ? Role::lm_head : tensor.role);
        }
    }
    return roles;
}

/// The linear inputs of a place, each with those roles of the units that read it.
std::map<Signal, std::set<Role>> readers_at(const ModelSpec& spec,
                                            std::optional<std::size_t> block) {
    std::map<Signal, std::set<Role>> readers;
    for (const UnitSpec& unit : spec.units) {
        if (unit.block == block && unit.input != Signal::token_ids) {
            readers[unit.input].merge(output_roles(spec, unit));
        }
    }
    return readers;
}

/// Mean squares of each row, for each signal that units of the place read.
std::map<Signal, std::vector<float>> mean_squares(const ModelSpec& spec,
                                                  std::optional<std::size_t> block,
                                                  const RowSums& found) {
    std::map<Signal, std::vector<float>> weights;
    for (const auto& [signal, roles] : readers_at(spec, block)) {
        std::vector<double> sums;
        double n_outputs = 0.0;
        for (const Role role : roles) {
            const RowSums::OfRole& own = found.roles.at(role);
            sums.resize(own.sums.size());
            std::ranges::transform(sums, own.sums, sums.begin(), std::plus<>());
            n_outputs += static_cast<double>(own.n_outputs);
        }
        for (const double sum : sums) {
            weights[signal].push_back(static_cast<float>(sum / n_outputs));
        }
    }
    return weights;
}

/// Turns mean squares into factors: fourth roots, with which the mean of the squared factors is 1.
void take_roots(std::vector<std::vector<float>>& batches) {
    double sum = 0.0;
    double count = 0.0;
    for (const std::vector<float>& batch : batches) {
        for (const float square : batch) {
            sum += std::sqrt(double{square});
        }
        count += static_cast<double>(batch.size());
    }
    for (std::vector<float>& batch : batches) {
        for (float& value : batch) {
            value = sum > 0.0
                        ? static_cast<float>(std::sqrt(std::sqrt(double{value}) * count / sum))
                        : 1.0F;  // nothing depends on these outputs
        }
    }
}

}  // namespace

TokenSquares token_squares(const ModelSpec& spec, const WeightSource& weights,
                           const kernels::Backend& backend, const kernels::Gradients& gradients,
                           const TokenSequences& samples, const LossGradient& loss) {
    std::map<std::optional<std::size_t>, RowSums> found;
    walk_back(spec, weights, backend, gradients, samples, loss,
              [&](std::optional<std::size_t> block) { return found[block].observer(gradients); });
    TokenSquares squares;
    for (const auto& [block, sums] : found) {
        squares[block] = mean_squares(spec, block, sums);
    }
    return squares;
}

void run_token_weights(const JobContext& context, const GradientTask& task) {
    const ModelSpec& spec = context.spec();
    const HostGradients host(context);
    const TokenSquares squares =
        token_squares(spec, SourceWeights(*context.source), *host.backend, *host.gradients,
                      task.samples, drawn_labels(*host.gradients, task.seed, task.first_row));
    ArtifactWriter file(context.run.token_weights(task.part));
    file.group("/", {{"fingerprint", task.fingerprint}});
    for (const auto& [block, of_place] : squares) {
        const std::string group = "/" + place_name(block, spec.n_blocks);
        file.group(group, {});
        for (const auto& [signal, values] : of_place) {
            file.dataset(group + "/" + std::string(name(signal)), DType::f32, {values.size()},
                         reinterpret_cast<const std::byte*>(values.data()));
        }
    }
    file.commit();
}

TokenWeights TokenWeights::read(const RunDirectory& run, const ModelSpec& spec,
                                std::optional<std::size_t> block, std::size_t n_parts) {
    const std::string group = "/" + place_name(block, spec.n_blocks) + "/";
    const auto readers = readers_at(spec, block);
    TokenWeights all;
    for (std::size_t part = 0; part < n_parts; ++part) {
        const ArtifactReader file(run.token_weights(part));
        for (const auto& [signal, roles] : readers) {
            all.factors_[signal].push_back(file.read_floats(group + std::string(name(signal))));
        }
    }
    for (auto& [signal, batches] : all.factors_) {
        take_roots(batches);
    }
    return all;
}

std::span<const float> TokenWeights::factors(Signal signal, std::size_t batch) const {
    const auto known = factors_.find(signal);
    return known == factors_.end() ? std::span<const float>() : known->second.at(batch);
}

}  // namespace lathe
