#include "workers/cut_effect.hpp"

#include <algorithm>

#include "lib/core/json.hpp"
#include "workers/evaluation.hpp"
#include "workers/forward.hpp"
#include "workers/fused_weights.hpp"
#include "workers/rotation.hpp"

namespace lathe {
namespace {

/// Walks all streams through the fused model: stream 0 is whole, stream s + 1 has the task's s-th
/// cut. Up to its first cut a stream is the whole one, and is not computed.
class Walk {
public:
    Walk(const JobContext& context, const CutEffectTask& task)
        : context_(context),
          task_(task),
          model_(*context.fused),
          forward_(model_.spec, context.backend(), task.samples.max_length()),
          tokens_(task.samples.tokens()),
          streams_(context.backend().allocate<float>((task.cuts.size() + 1) * tokens_ *
                                                     model_.spec.hidden_size)),
          has_begun_(task.cuts.size() + 1, false) {
        has_begun_.front() = true;
    }

    std::vector<double> run() {
        const ModelSpec& spec = model_.spec;
        const std::vector<Role> roles = ForwardPass::embedding_roles();
        forward_.embed(load(std::nullopt, roles), task_.samples, stream(0));
        for (std::size_t block = 0; block < spec.n_blocks; ++block) {
            const LoadedWeights weights = load(block, {});
            for (std::size_t step = 0; step < spec.steps_per_block(); ++step) {
                cut(block * spec.steps_per_block() + step);
                for (std::size_t s = 0; s < has_begun_.size(); ++s) {
                    if (has_begun_[s]) {
                        forward_.step(step, weights, task_.samples, stream(s));
                    }
                }
            }
        }
        cut(n_boundaries(spec) - 1);
        return divergences();
    }

private:
    [[nodiscard]] MatrixView<float> stream(std::size_t number) const {
        const std::size_t width = model_.spec.hidden_size;
        return {streams_.data() + number * tokens_ * width, tokens_, width};
    }

    [[nodiscard]] LoadedWeights load(std::optional<std::size_t> block,
                                     std::span<const Role> roles) const {
        return LoadedWeights::load(model_.spec, model_.weights, context_.backend(), block, roles);
    }

    void cut(std::size_t boundary) {
        std::optional<Rotation> rotation;
        for (std::size_t c = 0; c < task_.cuts.size(); ++c) {
            const std::size_t width = task_.cuts[c].at(boundary);
            if (width == model_.spec.hidden_size) {
                continue;
            }
            if (!has_begun_[c + 1]) {
                context_.backend().copy(stream(0), stream(c + 1));
                has_begun_[c + 1] = true;
            }
            if (!rotation) {
                rotation = read_rotation(context_, boundary, 0);
            }
            const CutBasis basis(context_.backend(), *rotation, width);
            basis.cut(context_.backend(), stream(c + 1), memory_);
        }
    }

    std::vector<double> divergences() {
        const kernels::Backend& backend = context_.backend();
        const LoadedWeights head = load(std::nullopt, forward_.head_roles());
        const std::size_t n_outputs = model_.spec.n_outputs();
        const auto expected = backend.allocate<float>(tokens_ * n_outputs);
        const auto found = backend.allocate<float>(tokens_ * n_outputs);
        const auto run_head = [&](std::size_t number, MatrixView<float> logits) {
            forward_.final_norm(head, stream(number));
            forward_.head(head, stream(number), logits);
        };
        run_head(0, expected.matrix(tokens_, n_outputs));
        std::vector<double> sums(task_.cuts.size(), 0.0);
        for (std::size_t c = 0; c < task_.cuts.size(); ++c) {
            if (has_begun_[c + 1]) {
                run_head(c + 1, found.matrix(tokens_, n_outputs));
                sums[c] = total_divergence(backend, expected.matrix(tokens_, n_outputs),
                                           found.matrix(tokens_, n_outputs));
            }
        }
        return sums;
    }

    const JobContext& context_;
    const CutEffectTask& task_;
    const FusedModel& model_;
    ForwardPass forward_;
    std::size_t tokens_;
    kernels::Array<float> streams_;
    kernels::Array<float> memory_;  ///< for cuts
    std::vector<bool> has_begun_;   ///< of each stream
};

}  // namespace

std::vector<double> run_cut_effect(const JobContext& context, const CutEffectTask& task) {
    return Walk(context, task).run();
}

std::string to_json(const CutEffectTask& task) {
    return nlohmann::json{{"cuts", task.cuts}, {"samples", to_json(task.samples)}}.dump();
}

CutEffectTask cut_effect_task_from_json(const std::string& text) {
    const auto json = parse_json(text);
    return {json.at("cuts").get<std::vector<std::vector<std::size_t>>>(),
            token_sequences_from_json(json.at("samples").get<std::string>())};
}

}  // namespace lathe
