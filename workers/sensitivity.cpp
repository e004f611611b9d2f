#include "workers/sensitivity.hpp"

#include <algorithm>
#include <optional>

#include "lib/core/json.hpp"
#include "workers/compressed_checkpoint.hpp"
#include "workers/compression.hpp"
#include "workers/evaluation.hpp"
#include "workers/forward.hpp"
#include "workers/weight_source.hpp"

namespace lathe {
namespace {

/// The source's weights, but for one unit.
class OneUnitChanged final : public WeightSource {
public:
    OneUnitChanged(const JobContext& context, std::size_t unit, const Setting& setting)
        : source_(context.spec(), context.source->weights),
          changed_(context, settings(context, unit, setting)),
          tensors_(context.spec().units[unit].tensors) {}

    void load(std::size_t index, const kernels::Backend& backend,
              MatrixView<float> values) const override {
        const bool is_changed = std::ranges::find(tensors_, index) != tensors_.end();
        (is_changed ? static_cast<const WeightSource&>(changed_) : source_)
            .load(index, backend, values);
    }

private:
    static std::vector<Setting> settings(const JobContext& context, std::size_t unit,
                                         const Setting& setting) {
        std::vector<Setting> choice(context.spec().units.size(), source_setting());
        choice[unit] = setting;
        return choice;
    }

    SourceWeights source_;
    PlanWeights changed_;
    const std::vector<std::size_t>& tensors_;
};

/// Walks all streams through the model: stream 0 is the source's, stream s + 1 that of the s-th
/// unit changed so far.
class Walk {
public:
    Walk(const JobContext& context, const SensitivityTask& task)
        : context_(context),
          task_(task),
          source_(context.spec(), context.source->weights),
          forward_(context.spec(), context.backend(), task.samples.max_length()),
          tokens_(task.samples.tokens()),
          streams_(context.backend().allocate<float>((task.units.size() + 1) * tokens_ *
                                                     context.spec().hidden_size)) {}

    std::vector<double> run() {
        embed();
        for (std::size_t b = 0; b < context_.spec().n_blocks; ++b) {
            pass_block(b);
        }
        return divergences();
    }

private:
    /// As it is before step `step_` of the model.
    [[nodiscard]] MatrixView<float> stream(std::size_t number) const {
        const ModelSpec& spec = context_.spec();
        return {streams_.data() + number * tokens_ * spec.hidden_size, tokens_,
                spec.stream_width(step_)};
    }
    // Below, `place` is a unit's place in the task.
    [[nodiscard]] const UnitSpec& unit(std::size_t place) const {
        return context_.spec().units[task_.units[place]];
    }
    [[nodiscard]] OneUnitChanged changed(std::size_t place) const {
        return {context_, task_.units[place], task_.probes[place]};
    }
    [[nodiscard]] bool reads(std::size_t place, std::span<const Role> roles) const {
        const TensorSpec& first = context_.spec().tensors[unit(place).tensors.front()];
        return !first.block && std::ranges::count(roles, first.role) > 0;
    }

    void embed() {
        const std::vector<Role> roles = ForwardPass::embedding_roles();
        const auto run = [&](const WeightSource& weights, std::size_t number) {
            forward_.embed(LoadedWeights::load(context_.spec(), weights, context_.backend(),
                                               std::nullopt, roles),
                           task_.samples, stream(number));
        };
        run(source_, 0);
        for (std::size_t p = 0; p < task_.units.size(); ++p) {
            if (reads(p, roles)) {
                run(changed(p), begin_stream(p));
            }
        }
    }

    std::size_t begin_stream(std::size_t place) {
        places_.push_back(place);
        return places_.size();
    }

    void pass_block(std::size_t block) {
        const ModelSpec& spec = context_.spec();
        const std::size_t n_streams = places_.size() + 1;
        for (std::size_t p = 0; p < task_.units.size(); ++p) {
            if (unit(p).block != block) {
                continue;
            }
            const MatrixView<float> own = stream(begin_stream(p));
            std::copy_n(stream(0).data, own.rows * own.cols, own.data);
            forward_.block(LoadedWeights::load(spec, changed(p), context_.backend(), block),
                           task_.samples, own);
        }
        const LoadedWeights weights = LoadedWeights::load(spec, source_, context_.backend(), block);
        for (std::size_t s = 0; s < n_streams; ++s) {
            forward_.block(weights, task_.samples, stream(s));
        }
        step_ += spec.steps_per_block();
    }

    std::vector<double> divergences() {
        const ModelSpec& spec = context_.spec();
        const kernels::Backend& backend = context_.backend();
        const std::vector<Role> roles = forward_.head_roles();
        const LoadedWeights head = LoadedWeights::load(spec, source_, backend, std::nullopt, roles);
        const std::size_t rows = ForwardPass::head_rows(spec, task_.samples);
        const auto expected = backend.allocate<float>(rows * spec.n_outputs());
        const auto found = backend.allocate<float>(rows * spec.n_outputs());
        const MatrixView<float> reference = expected.matrix(rows, spec.n_outputs());
        const MatrixView<float> logits = found.matrix(rows, spec.n_outputs());
        // Every stream is normed once, whatever head it goes to.
        const auto run_head = [&](const LoadedWeights& weights, std::size_t number,
                                  MatrixView<float> y) {
            forward_.head(weights, forward_.head_input(weights, task_.samples, stream(number)), y);
        };
        forward_.final_norm(head, stream(0));
        run_head(head, 0, reference);

        std::vector<double> result(task_.units.size(), 0.0);
        std::vector<double> kl(rows);
        std::vector<std::uint8_t> agree(rows);
        const auto compare = [&](std::size_t place) {
            divergence(backend, reference, logits, kl, agree);
            for (double value : kl) {
                result[place] += value;
            }
        };
        const auto changed_head = [&](std::size_t place) {
            return LoadedWeights::load(spec, changed(place), backend, std::nullopt, roles);
        };
        for (std::size_t s = 0; s < places_.size(); ++s) {
            forward_.final_norm(head, stream(s + 1));
            // A tied embedding changes the head as well.
            if (reads(places_[s], roles)) {
                run_head(changed_head(places_[s]), s + 1, logits);
            } else {
                run_head(head, s + 1, logits);
            }
            compare(places_[s]);
        }
        for (std::size_t p = 0; p < task_.units.size(); ++p) {
            if (!reads(p, roles) || std::ranges::find(places_, p) != places_.end()) {
                continue;
            }
            run_head(changed_head(p), 0, logits);
            compare(p);
        }
        return result;
    }

    const JobContext& context_;
    const SensitivityTask& task_;
    SourceWeights source_;
    ForwardPass forward_;
    std::size_t tokens_;
    std::size_t step_ = 0;
    kernels::Array<float> streams_;
    std::vector<std::size_t> places_;  ///< of stream s + 1
};

}  // namespace

std::vector<double> run_sensitivity(const JobContext& context, const SensitivityTask& task) {
    return Walk(context, task).run();
}

std::string to_json(const SensitivityTask& task) {
    nlohmann::json probes = nlohmann::json::array();
    for (const Setting& setting : task.probes) {
        probes.push_back(to_string(setting));
    }
    return nlohmann::json{
        {"units", task.units}, {"probes", probes}, {"samples", to_json(task.samples)}}
        .dump();
}

SensitivityTask sensitivity_task_from_json(const std::string& text) {
    const auto json = parse_json(text);
    SensitivityTask task;
    task.units = json.at("units").get<std::vector<std::size_t>>();
    for (const auto& probe : json.at("probes")) {
        task.probes.push_back(setting_from_string(probe.get<std::string>()));
    }
    task.samples = token_sequences_from_json(json.at("samples").get<std::string>());
    return task;
}

}  // namespace lathe
