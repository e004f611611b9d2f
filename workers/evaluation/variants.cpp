#include "workers/evaluation/variants.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "lib/core/json.hpp"
#include "lib/core/task_progress.hpp"
#include "methods/dense.hpp"
#include "workers/candidates/plan_weights.hpp"
#include "workers/evaluation/evaluation.hpp"
#include "workers/network/divergence.hpp"
#include "workers/network/final_states.hpp"
#include "workers/network/head.hpp"
#include "workers/network/residual_stream.hpp"

namespace lathe {
namespace {

using kernels::Array;

std::vector<Setting> changed_plan(std::vector<Setting> plan, const Variant& changes) {
    for (const UnitChange& change : changes) {
        plan.at(change.unit) = change.setting;
    }
    return plan;
}

/// The plan's stream, and those of the variants that have begun to differ from it.
class VariantStreams {
public:
    VariantStreams(const JobContext& context, const VariantTask& task)
        : context_(context),
          spec_(context.spec()),
          task_(task),
          plan_(context, task.base),
          forward_(spec_, context.backend(), task.samples.max_length()),
          whole_{task.samples.whole()},
          base_(make_stream()),
          own_(task.variants.size()) {}

    std::vector<double> run() {
        embed();
        for (std::size_t b = 0; b < spec_.n_blocks; ++b) {
            pass_block(b);
            tell_progress(b + 1, spec_.n_blocks);
        }
        return divergences();
    }

private:
    [[nodiscard]] ResidualStream make_stream() { return {forward_, task_.samples, whole_}; }
    [[nodiscard]] ResidualStream& stream_of(std::size_t variant) {
        return own_[variant] ? *own_[variant] : base_;
    }
    [[nodiscard]] MatrixView<float> values(const ResidualStream& stream) const {
        return stream.part(whole_.front());
    }
    [[nodiscard]] PlanWeights changed(std::size_t variant) const {
        return {context_, changed_plan(task_.base, task_.variants[variant])};
    }
    /// Whether the variant changes a tensor of `block`, or, without a block, one of these roles.
    /// Norms, biases and tables stand everywhere.
    [[nodiscard]] bool changes(std::size_t variant, std::optional<std::size_t> block,
                               std::span<const Role> roles = {}) const {
        return std::ranges::any_of(task_.variants[variant], [&](const UnitChange& change) {
            if (change.unit == spec_.units.size()) {
                return true;
            }
            const TensorSpec& first = spec_.tensors[spec_.units[change.unit].tensors.front()];
            return first.block == block && (block || std::ranges::count(roles, first.role) > 0);
        });
    }

    /// Whether anybody will still ask for the plan's own stream: a variant that is the plan so far,
    /// or all, if they are compared with it.
    [[nodiscard]] bool needs_plan() const {
        return is_source(task_.base) ||
               std::ranges::any_of(own_, [](const auto& own) { return !own.has_value(); });
    }

    void embed() {
        base_.embed(plan_);
        for (std::size_t v = 0; v < task_.variants.size(); ++v) {
            if (changes(v, {}, ForwardPass::embedding_roles())) {
                own_[v].emplace(make_stream()).embed(changed(v));
            }
        }
    }

    void pass_block(std::size_t block) {
        std::vector<std::size_t> unchanged;
        for (std::size_t v = 0; v < task_.variants.size(); ++v) {
            if (!changes(v, block)) {
                if (own_[v]) {
                    unchanged.push_back(v);
                }
                continue;
            }
            if (!own_[v]) {
                own_[v].emplace(make_stream()).copy(base_);
            }
            own_[v]->take_block(LoadedWeights::load(spec_, changed(v), context_.backend(), block));
        }
        const bool needs_base = needs_plan();
        if (!needs_base && unchanged.empty()) {
            return;
        }
        const LoadedWeights weights = LoadedWeights::load(spec_, plan_, context_.backend(), block);
        if (needs_base) {
            base_.take_block(weights);
        }
        for (const std::size_t v : unchanged) {
            own_[v]->take_block(weights);
        }
    }

    [[nodiscard]] LoadedWeights load_head(const WeightSource& weights) const {
        return LoadedWeights::load(spec_, weights, context_.backend(), {}, forward_.head_roles());
    }
    /// Logits of all rows from normed streams. [head rows, n_outputs]
    [[nodiscard]] Array<float> logits(const LoadedWeights& head, MatrixView<float> normed) {
        const MatrixView<const float> x = forward_.head_input(head, task_.samples, normed);
        Array<float> y = context_.backend().allocate<float>(x.rows * spec_.n_outputs());
        forward_.head(head, x, y.matrix(x.rows, spec_.n_outputs()));
        return y;
    }
    /// Of the model the job was given. [head rows, n_outputs]
    [[nodiscard]] Array<float> given_logits() const {
        const SourceModel& given = context_.given_model();
        const SourceWeights weights(given);
        const FinalStates states = source_states(context_, task_.samples);
        Head head(given.spec, weights, context_.backend());
        const std::size_t rows = ForwardPass::head_rows(given.spec, task_.samples);
        Array<float> y = context_.backend().allocate<float>(rows * spec_.n_outputs());
        for (std::size_t first = 0; first < rows; first += logit_rows) {
            const MatrixView<const float> logits =
                head.logits(states, first, std::min(logit_rows, rows - first));
            context_.backend().copy(
                logits, y.matrix(rows, spec_.n_outputs()).row_range(first, logits.rows));
        }
        return y;
    }

    /// [head rows, n_outputs] of a variant. The plan's own stream is normed already.
    [[nodiscard]] Array<float> logits_of(std::size_t variant, const LoadedWeights& plan_head) {
        std::optional<LoadedWeights> own_head;
        // A tied embedding changes the head as well, other variants its norm.
        if (changes(variant, {}, forward_.head_roles())) {
            own_head = load_head(changed(variant));
        }
        const LoadedWeights& head = own_head ? *own_head : plan_head;
        if (own_[variant]) {
            forward_.final_norm(head, values(*own_[variant]));
        }
        return logits(head, values(stream_of(variant)));
    }

    std::vector<double> divergences() {
        const LoadedWeights head = load_head(plan_);
        forward_.final_norm(head, values(base_));
        const Array<float> expected =
            is_source(task_.base) ? logits(head, values(base_)) : given_logits();
        const std::size_t rows = expected.size() / spec_.n_outputs();
        std::vector<double> sums;
        for (std::size_t v = 0; v < task_.variants.size(); ++v) {
            const Array<float> found = logits_of(v, head);
            sums.push_back(total_divergence(context_.backend(),
                                            expected.matrix(rows, spec_.n_outputs()),
                                            found.matrix(rows, spec_.n_outputs())));
        }
        return sums;
    }

    const JobContext& context_;
    const ModelSpec& spec_;
    const VariantTask& task_;
    PlanWeights plan_;
    ForwardPass forward_;
    std::array<SequenceRange, 1> whole_;  ///< the samples as one batch
    ResidualStream base_;
    std::vector<std::optional<ResidualStream>> own_;  ///< of each variant; none: as the plan's
};

nlohmann::json changes_to_json(const Variant& variant) {
    nlohmann::json changes = nlohmann::json::array();
    for (const UnitChange& change : variant) {
        changes.push_back({change.unit, to_string(change.setting)});
    }
    return changes;
}

}  // namespace

bool is_source(const std::vector<Setting>& plan) {
    return std::ranges::all_of(plan,
                               [](const Setting& setting) { return setting == source_setting(); });
}

std::vector<double> run_variants(const JobContext& context, const VariantTask& task) {
    return VariantStreams(context, task).run();
}

std::string to_json(const VariantTask& task) {
    nlohmann::json base = nlohmann::json::array();
    for (const Setting& setting : task.base) {
        base.push_back(to_string(setting));
    }
    nlohmann::json variants = nlohmann::json::array();
    for (const Variant& variant : task.variants) {
        variants.push_back(changes_to_json(variant));
    }
    return nlohmann::json{
        {"base", base}, {"variants", variants}, {"samples", to_json(task.samples)}}
        .dump();
}

VariantTask variant_task_from_json(const std::string& text) {
    const auto json = parse_json(text);
    VariantTask task;
    for (const auto& setting : json.at("base")) {
        task.base.push_back(setting_from_string(setting.get<std::string>()));
    }
    for (const auto& changes : json.at("variants")) {
        Variant& variant = task.variants.emplace_back();
        for (const auto& change : changes) {
            variant.push_back({change.at(0).get<std::size_t>(),
                               setting_from_string(change.at(1).get<std::string>())});
        }
    }
    task.samples = token_sequences_from_json(json.at("samples").get<std::string>());
    return task;
}

}  // namespace lathe
