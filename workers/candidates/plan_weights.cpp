#include "workers/candidates/plan_weights.hpp"

#include <algorithm>

#include "lib/checkpoint/encoded_tensor_io.hpp"
#include "lib/core/errors.hpp"
#include "workers/candidates/candidate_files.hpp"
#include "workers/candidates/kept_tensors.hpp"

namespace lathe {

namespace {

/// The unit that tensor `index` belongs to and its place there; none for norms and biases.
std::optional<std::pair<std::size_t, std::size_t>> unit_of(const ModelSpec& spec,
                                                           std::size_t index) {
    for (std::size_t u = 0; u < spec.units.size(); ++u) {
        const auto& tensors = spec.units[u].tensors;
        const auto found = std::ranges::find(tensors, index);
        if (found != tensors.end()) {
            return std::pair(u, static_cast<std::size_t>(found - tensors.begin()));
        }
    }
    return std::nullopt;
}

}  // namespace

PlanWeights::PlanWeights(const JobContext& context, std::vector<Setting> choice,
                         std::string refined)
    : context_(context), choice_(std::move(choice)), refined_(std::move(refined)) {
    if (choice_.size() != context.spec().units.size() + 1) {
        throw InternalError("a plan of " + std::to_string(choice_.size()) + " settings for " +
                            std::to_string(context.spec().units.size()) + " units");
    }
}

EncodedTensor PlanWeights::read(std::size_t index) const {
    if (!refined_.empty()) {
        const TensorSpec& tensor = context_.spec().tensors.at(index);
        const ArtifactReader file(
            context_.run.refined(refined_, place_name(tensor.block, context_.spec().n_blocks)));
        if (std::ranges::count(file.children("/tensors"), tensor.name) > 0) {
            return read_encoded(file, "/tensors/" + tensor.name);
        }
    }
    const auto unit = unit_of(context_.spec(), index);
    if (!unit) {
        return kept_tensor(context_, index, choice_.back());
    }
    return read_candidate_tensor(context_, unit->first, unit->second, choice_.at(unit->first));
}

}  // namespace lathe
