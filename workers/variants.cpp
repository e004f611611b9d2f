#include "workers/variants.hpp"

#include <algorithm>
#include <optional>

#include "lib/core/json.hpp"
#include "workers/compressed_checkpoint.hpp"
#include "workers/compression.hpp"
#include "workers/evaluation.hpp"
#include "workers/forward.hpp"
#include "workers/head.hpp"
#include "workers/weight_source.hpp"

namespace lathe {
namespace {

using kernels::Array;

std::vector<Setting> changed_plan(std::vector<Setting> plan, const Variant& changes) {
    for (const UnitChange& change : changes) {
        plan.at(change.unit) = change.setting;
    }
    return plan;
}

/// Walks the plan's stream, number 0, and those of the variants that have begun to differ.
class Walk {
public:
    Walk(const JobContext& context, const VariantTask& task)
        : context_(context),
          spec_(context.spec()),
          task_(task),
          plan_(context, task.base),
          forward_(spec_, context.backend(), task.samples.max_length()),
          tokens_(task.samples.tokens()),
          memory_(context.backend().allocate<float>((task.variants.size() + 1) * tokens_ *
                                                    spec_.hidden_size)),
          has_own_stream_(task.variants.size(), false) {}

    std::vector<double> run() {
        embed();
        for (std::size_t b = 0; b < spec_.n_blocks; ++b) {
            pass_block(b);
        }
        return divergences();
    }

private:
    /// As it is before step `step_` of the model.
    [[nodiscard]] MatrixView<float> stream(std::size_t number) const {
        return {memory_.data() + number * tokens_ * spec_.hidden_size, tokens_,
                spec_.stream_width(step_)};
    }
    [[nodiscard]] MatrixView<float> stream_of(std::size_t variant) const {
        return stream(has_own_stream_[variant] ? variant + 1 : 0);
    }
    [[nodiscard]] PlanWeights changed(std::size_t variant) const {
        return {context_, changed_plan(task_.base, task_.variants[variant])};
    }
    /// Whether the variant changes a unit of `block`, or, without a block, one of these roles.
    [[nodiscard]] bool changes(std::size_t variant, std::optional<std::size_t> block,
                               std::span<const Role> roles = {}) const {
        return std::ranges::any_of(task_.variants[variant], [&](const UnitChange& change) {
            const TensorSpec& first = spec_.tensors[spec_.units[change.unit].tensors.front()];
            return first.block == block && (block || std::ranges::count(roles, first.role) > 0);
        });
    }

    void embed() {
        const std::vector<Role> roles = ForwardPass::embedding_roles();
        const auto run = [&](const WeightSource& weights, std::size_t number) {
            forward_.embed(LoadedWeights::load(spec_, weights, context_.backend(), {}, roles),
                           task_.samples, stream(number));
        };
        run(plan_, 0);
        for (std::size_t v = 0; v < task_.variants.size(); ++v) {
            if (changes(v, {}, roles)) {
                has_own_stream_[v] = true;
                run(changed(v), v + 1);
            }
        }
    }

    void pass_block(std::size_t block) {
        const auto run = [&](const LoadedWeights& weights, std::size_t number) {
            forward_.block(weights, task_.samples, stream(number));
        };
        std::vector<std::size_t> unchanged;
        for (std::size_t v = 0; v < task_.variants.size(); ++v) {
            if (!changes(v, block)) {
                if (has_own_stream_[v]) {
                    unchanged.push_back(v);
                }
                continue;
            }
            if (!has_own_stream_[v]) {
                has_own_stream_[v] = true;
                context_.backend().copy(stream(0), stream(v + 1));
            }
            run(LoadedWeights::load(spec_, changed(v), context_.backend(), block), v + 1);
        }
        const LoadedWeights weights = LoadedWeights::load(spec_, plan_, context_.backend(), block);
        run(weights, 0);
        for (const std::size_t v : unchanged) {
            run(weights, v + 1);
        }
        step_ += spec_.steps_per_block();
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
        const SourceWeights weights(given.spec, given.weights);
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

    std::vector<double> divergences() {
        const LoadedWeights head = load_head(plan_);
        for (std::size_t number = 0; number <= task_.variants.size(); ++number) {
            if (number == 0 || has_own_stream_[number - 1]) {
                forward_.final_norm(head, stream(number));
            }
        }
        const Array<float> expected =
            is_source(task_.base) ? logits(head, stream(0)) : given_logits();
        const std::size_t rows = expected.size() / spec_.n_outputs();
        std::vector<double> sums;
        for (std::size_t v = 0; v < task_.variants.size(); ++v) {
            // A tied embedding changes the head as well.
            const Array<float> found = changes(v, {}, forward_.head_roles())
                                           ? logits(load_head(changed(v)), stream_of(v))
                                           : logits(head, stream_of(v));
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
    std::size_t tokens_;
    std::size_t step_ = 0;
    Array<float> memory_;
    std::vector<bool> has_own_stream_;
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
    return Walk(context, task).run();
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
