#include "workers/evaluation/evaluation.hpp"

#include <algorithm>
#include <optional>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "workers/candidates/plan_weights.hpp"
#include "workers/checkpoint/model_to_run.hpp"
#include "workers/network/divergence.hpp"
#include "workers/network/forward.hpp"
#include "workers/network/head.hpp"

namespace lathe {
namespace {

using kernels::Backend;

/// The head's rows: the sample each belongs to and, where it predicts one, the next token.
struct HeadRows {
    std::vector<std::size_t> sample;
    std::vector<std::uint32_t> target;  ///< of rows that predict nothing any will do: 0
    std::vector<bool> predicts;

    HeadRows(const ModelSpec& spec, const TokenSequences& samples) {
        const bool is_classifier = spec.head == HeadKind::classifier;
        std::size_t token = 0;
        for (std::size_t s = 0; s < samples.count(); ++s) {
            const std::size_t length = samples.lengths[s];
            for (std::size_t t = 0; t < (is_classifier ? 1 : length); ++t) {
                const bool predicting = !is_classifier && t + 1 < length;
                sample.push_back(s);
                target.push_back(predicting ? samples.ids[token + t + 1] : 0);
                predicts.push_back(predicting);
            }
            token += length;
        }
    }
    [[nodiscard]] std::size_t count() const { return sample.size(); }
};

}  // namespace

void SampleLosses::append(const SampleLosses& others) {
    const auto add = [](auto& to, const auto& from) {
        to.insert(to.end(), from.begin(), from.end());
    };
    add(nll, others.nll);
    add(reference_nll, others.reference_nll);
    add(kl, others.kl);
    add(agree, others.agree);
}

SampleLosses sample_losses(const ModelSpec& spec, const WeightSource& weights,
                           const Backend& backend, const TokenSequences& samples,
                           const FinalStates& states, const ReferenceModel& reference,
                           const IntegerParts& integer) {
    Head head(spec, weights, backend, integer);
    std::optional<Head> reference_head;
    if (reference.states != nullptr) {
        reference_head.emplace(*reference.spec, *reference.weights, backend);
    }
    const HeadRows rows(spec, samples);
    const bool predicts = spec.head == HeadKind::language_model;
    SampleLosses losses;
    losses.nll.assign(samples.count(), 0.0);
    const std::size_t n_compared = reference_head ? samples.count() : 0;
    losses.reference_nll.assign(n_compared, 0.0);
    losses.kl.assign(n_compared, 0.0);
    losses.agree.assign(n_compared, 0);
    std::vector<double> values(logit_rows);
    std::vector<std::uint8_t> agree(logit_rows);
    for (std::size_t first = 0; first < rows.count(); first += logit_rows) {
        const std::size_t count = std::min(logit_rows, rows.count() - first);
        const auto add_nll = [&](MatrixView<const float> logits, std::vector<double>& sums) {
            if (!predicts) {
                return;
            }
            backend.cross_entropy(logits, std::span(rows.target).subspan(first, count),
                                  std::span(values).first(count));
            for (std::size_t i = 0; i < count; ++i) {
                if (rows.predicts[first + i]) {
                    sums[rows.sample[first + i]] += values[i];
                }
            }
        };
        const MatrixView<const float> logits = head.logits(states, first, count);
        add_nll(logits, losses.nll);
        if (!reference_head) {
            continue;
        }
        const MatrixView<const float> reference_logits =
            reference_head->logits(*reference.states, first, count);
        add_nll(reference_logits, losses.reference_nll);
        divergence(backend, reference_logits, logits, std::span(values).first(count),
                   std::span(agree).first(count));
        for (std::size_t i = 0; i < count; ++i) {
            losses.kl[rows.sample[first + i]] += values[i];
            losses.agree[rows.sample[first + i]] += agree[i];
        }
    }
    return losses;
}

namespace {

/// Of final states of the model a job was given.
Shape states_shape(const JobContext& context, const TokenSequences& samples) {
    const ModelSpec& spec = context.given_model().spec;
    return {ForwardPass::head_rows(spec, samples), spec.head_width()};
}

FinalStates compute_source_states(const JobContext& context, const TokenSequences& samples) {
    const SourceModel& given = context.given_model();
    return final_states(given.spec, SourceWeights(given), context.backend(), samples);
}

}  // namespace

void run_reference(const JobContext& context, const ReferenceTask& task) {
    const FinalStates states = compute_source_states(context, task.samples);
    const Shape shape = states_shape(context, task.samples);
    std::vector<float> host(states.size());
    context.backend().download(states.matrix(shape[0], shape[1]), host.data());
    ArtifactWriter writer(context.run.reference(hash_of(task.samples)));
    writer.group("/", {{"fingerprint", task.fingerprint}});
    writer.dataset("/states", DType::f32, shape, reinterpret_cast<const std::byte*>(host.data()));
    writer.commit();
}

FinalStates source_states(const JobContext& context, const TokenSequences& samples) {
    const std::filesystem::path file = context.run.reference(hash_of(samples));
    std::error_code ignored;
    if (!std::filesystem::exists(file, ignored)) {
        return compute_source_states(context, samples);
    }
    const Shape shape = states_shape(context, samples);
    const std::vector<std::byte> bytes = ArtifactReader(file).read("/states");
    FinalStates states = context.backend().allocate<float>(element_count(shape));
    if (bytes.size() != states.size() * sizeof(float)) {
        throw DataError(file.string() + ": /states has " + std::to_string(bytes.size()) +
                        " bytes, expected " + std::to_string(states.size() * sizeof(float)));
    }
    context.backend().upload(bytes.data(), DType::f32, states.matrix(shape[0], shape[1]));
    return states;
}

SampleLosses run_evaluation(const JobContext& context, const EvaluationTask& task) {
    const SourceWeights source(*context.source);
    std::optional<PlanWeights> plan;
    if (!task.choice.empty()) {
        plan.emplace(context, task.choice, task.refined);
    }
    const WeightSource& weights =
        plan ? static_cast<const WeightSource&>(*plan) : static_cast<const WeightSource&>(source);
    const FinalStates states =
        final_states(context.spec(), weights, context.backend(), task.samples);
    if (!task.against_source) {
        return sample_losses(context.spec(), weights, context.backend(), task.samples, states, {});
    }
    const FinalStates reference = source_states(context, task.samples);
    const ModelSpec& given = context.given_model().spec;
    const SourceWeights given_weights(context.given_model());
    return sample_losses(context.spec(), weights, context.backend(), task.samples, states,
                         {&given, &given_weights, &reference});
}

SampleLosses run_evaluation(const Backend& backend, const EvaluationTask& task) {
    const ModelToRun model(task.model, task.reading);
    const FinalStates states =
        final_states(model.spec(), model.weights(), backend, task.samples, task.integer);
    if (task.reference.empty()) {
        return sample_losses(model.spec(), model.weights(), backend, task.samples, states, {},
                             task.integer);
    }
    const ModelToRun reference(task.reference, task.reading);
    require_same_outputs(model.spec(), reference.spec(), task.reference.string());
    const FinalStates reference_final =
        final_states(reference.spec(), reference.weights(), backend, task.samples);
    return sample_losses(model.spec(), model.weights(), backend, task.samples, states,
                         {&reference.spec(), &reference.weights(), &reference_final}, task.integer);
}

std::string to_json(const EvaluationTask& task) {
    return nlohmann::json{
        {"model", task.model.string()},     {"choice", choice_to_json(task.choice)},
        {"refined", task.refined},          {"reference", task.reference.string()},
        {"reading", to_json(task.reading)}, {"against_source", task.against_source},
        {"integer", to_json(task.integer)}, {"samples", to_json(task.samples)}}
        .dump();
}

EvaluationTask evaluation_task_from_json(const std::string& text) {
    const auto json = parse_json(text);
    EvaluationTask task;
    task.model = json.at("model").get<std::string>();
    task.choice = choice_from_json(json.at("choice").get<std::string>());
    task.refined = json.at("refined");
    task.reference = json.at("reference").get<std::string>();
    task.reading = model_reading_from_json(json.at("reading").get<std::string>());
    task.against_source = json.at("against_source");
    task.integer = integer_parts_from_json(json.at("integer").get<std::string>());
    task.samples = token_sequences_from_json(json.at("samples").get<std::string>());
    return task;
}

std::string to_json(const ReferenceTask& task) {
    return nlohmann::json{{"samples", to_json(task.samples)}, {"fingerprint", task.fingerprint}}
        .dump();
}

ReferenceTask reference_task_from_json(const std::string& text) {
    const auto json = parse_json(text);
    return {token_sequences_from_json(json.at("samples").get<std::string>()),
            json.at("fingerprint").get<std::string>()};
}

std::string to_json(const SampleLosses& losses) {
    return nlohmann::json{{"nll", losses.nll},
                          {"reference_nll", losses.reference_nll},
                          {"kl", losses.kl},
                          {"agree", losses.agree}}
        .dump();
}

SampleLosses sample_losses_from_json(const std::string& text) {
    const auto json = parse_json(text);
    return {json.at("nll").get<std::vector<double>>(),
            json.at("reference_nll").get<std::vector<double>>(),
            json.at("kl").get<std::vector<double>>(),
            json.at("agree").get<std::vector<std::uint64_t>>()};
}

}  // namespace lathe
