#include "workers/boundary_effect.hpp"

#include <algorithm>

#include "lib/core/json.hpp"
#include "workers/evaluation.hpp"
#include "workers/forward.hpp"
#include "workers/fused_weights.hpp"
#include "workers/rotation.hpp"

namespace lathe {
namespace {

/// Walks all streams through the fused model: stream 0 is whole, stream s + 1 was cut at the s-th
/// boundary of the task.
class Walk {
public:
    Walk(const JobContext& context, const BoundaryEffectTask& task)
        : context_(context),
          task_(task),
          model_(*context.fused),
          forward_(model_.spec, context.backend(), task.samples.max_length()),
          tokens_(task.samples.tokens()),
          streams_(context.backend().allocate<float>((task.boundaries.size() + 1) * tokens_ *
                                                     model_.spec.hidden_size)) {}

    std::vector<double> run() {
        const ModelSpec& spec = model_.spec;
        const std::vector<Role> roles = ForwardPass::embedding_roles();
        forward_.embed(load(std::nullopt, roles), task_.samples, stream(0));
        for (std::size_t block = 0; block < spec.n_blocks; ++block) {
            const LoadedWeights weights = load(block, {});
            for (std::size_t step = 0; step < spec.steps_per_block(); ++step) {
                begin_stream(block * spec.steps_per_block() + step);
                for (std::size_t s = 0; s <= n_begun_; ++s) {
                    forward_.step(step, weights, task_.samples, stream(s));
                }
            }
        }
        begin_stream(n_boundaries(spec) - 1);
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

    /// At a boundary of the task: a copy of the whole stream, cut.
    void begin_stream(std::size_t boundary) {
        if (n_begun_ == task_.boundaries.size() || task_.boundaries[n_begun_] != boundary) {
            return;
        }
        const std::size_t width = model_.spec.hidden_size;
        const MatrixView<float> own = stream(++n_begun_);
        context_.backend().copy(stream(0), own);
        const CutBasis basis(context_.backend(), read_rotation(context_, boundary, 0),
                             probe_width(model_.spec));
        basis.cut(context_.backend(), own, context_.backend().allocate<float>(tokens_ * width));
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
        std::vector<double> sums;
        std::vector<double> kl(tokens_);
        std::vector<std::uint8_t> agree(tokens_);
        for (std::size_t s = 1; s <= n_begun_; ++s) {
            run_head(s, found.matrix(tokens_, n_outputs));
            divergence(backend, expected.matrix(tokens_, n_outputs),
                       found.matrix(tokens_, n_outputs), kl, agree);
            double sum = 0.0;
            for (const double value : kl) {
                sum += value;
            }
            sums.push_back(sum);
        }
        return sums;
    }

    const JobContext& context_;
    const BoundaryEffectTask& task_;
    const FusedModel& model_;
    ForwardPass forward_;
    std::size_t tokens_;
    kernels::Array<float> streams_;
    std::size_t n_begun_ = 0;
};

}  // namespace

std::vector<double> run_boundary_effect(const JobContext& context, const BoundaryEffectTask& task) {
    return Walk(context, task).run();
}

std::string to_json(const BoundaryEffectTask& task) {
    return nlohmann::json{{"boundaries", task.boundaries}, {"samples", to_json(task.samples)}}
        .dump();
}

BoundaryEffectTask boundary_effect_task_from_json(const std::string& text) {
    const auto json = parse_json(text);
    return {json.at("boundaries").get<std::vector<std::size_t>>(),
            token_sequences_from_json(json.at("samples").get<std::string>())};
}

}  // namespace lathe
