#include "workers/slicing/cut_effect.hpp"

#include <array>
#include <optional>

#include "lib/core/json.hpp"
#include "workers/model/fused_weights.hpp"
#include "workers/network/divergence.hpp"
#include "workers/network/residual_stream.hpp"
#include "workers/slicing/rotation.hpp"

namespace lathe {
namespace {

/// The stream of the whole model, and those of its cuts that have begun to differ from it.
class CutStreams {
public:
    CutStreams(const JobContext& context, const CutEffectTask& task)
        : context_(context),
          task_(task),
          model_(*context.fused),
          forward_(model_.spec, context.backend(), task.samples.max_length()),
          all_{task.samples.whole()},
          whole_(make_stream()),
          cut_(task.cuts.size()) {}

    std::vector<double> run() {
        const ModelSpec& spec = model_.spec;
        whole_.embed(model_.weights);
        for (std::size_t block = 0; block < spec.n_blocks; ++block) {
            const LoadedWeights weights = load(block, {});
            for (std::size_t step = 0; step < spec.steps_per_block(); ++step) {
                cut(whole_.step());
                whole_.take_step(weights);
                for (std::optional<ResidualStream>& stream : cut_) {
                    if (stream) {
                        stream->take_step(weights);
                    }
                }
            }
        }
        cut(n_boundaries(spec) - 1);
        return divergences();
    }

private:
    [[nodiscard]] ResidualStream make_stream() { return {forward_, task_.samples, all_}; }
    [[nodiscard]] MatrixView<float> values(const ResidualStream& stream) const {
        return stream.part(all_.front());
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
            if (!cut_[c]) {
                cut_[c].emplace(make_stream()).copy(whole_);
            }
            if (!rotation) {
                rotation = read_rotation(context_, boundary, 0);
            }
            const CutBasis basis(context_.backend(), *rotation, width);
            basis.cut(context_.backend(), values(*cut_[c]), memory_);
        }
    }

    std::vector<double> divergences() {
        const kernels::Backend& backend = context_.backend();
        const LoadedWeights head = load(std::nullopt, forward_.head_roles());
        const std::size_t n_outputs = model_.spec.n_outputs();
        const std::size_t tokens = task_.samples.tokens();
        const auto expected = backend.allocate<float>(tokens * n_outputs);
        const auto found = backend.allocate<float>(tokens * n_outputs);
        const auto run_head = [&](const ResidualStream& stream, MatrixView<float> logits) {
            forward_.final_norm(head, values(stream));
            forward_.head(head, values(stream), logits);
        };
        run_head(whole_, expected.matrix(tokens, n_outputs));
        std::vector<double> sums(task_.cuts.size(), 0.0);
        for (std::size_t c = 0; c < task_.cuts.size(); ++c) {
            if (cut_[c]) {
                run_head(*cut_[c], found.matrix(tokens, n_outputs));
                sums[c] = total_divergence(backend, expected.matrix(tokens, n_outputs),
                                           found.matrix(tokens, n_outputs));
            }
        }
        return sums;
    }

    const JobContext& context_;
    const CutEffectTask& task_;
    const FusedModel& model_;
    ForwardPass forward_;
    std::array<SequenceRange, 1> all_;  ///< the samples as one batch
    ResidualStream whole_;
    std::vector<std::optional<ResidualStream>> cut_;  ///< of each cut; none: as the whole one
    kernels::Array<float> memory_;                    ///< for cuts
};

}  // namespace

std::vector<double> run_cut_effect(const JobContext& context, const CutEffectTask& task) {
    return CutStreams(context, task).run();
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
