#include "workers/evaluation.hpp"

#include <algorithm>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "workers/forward.hpp"
#include "workers/head.hpp"

namespace lathe {
namespace {

using kernels::Backend;

LoadedWeights load_embedding(const ModelSpec& spec, const WeightSource& weights,
                             const Backend& backend) {
    return LoadedWeights::load(spec, weights, backend, std::nullopt,
                               ForwardPass::embedding_roles());
}

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

ModelToRun::ModelToRun(const std::filesystem::path& directory, kernels::LookupTables tables) {
    if (CompressedCheckpoint::is_one(directory)) {
        compressed_ = std::make_unique<CompressedCheckpoint>(directory);
        weights_ = std::make_unique<CheckpointWeights>(*compressed_, tables);
    } else {
        source_ = SourceModel::open(directory, {});
        weights_ = std::make_unique<SourceWeights>(source_->spec, source_->weights);
    }
}

const ModelSpec& ModelToRun::spec() const {
    return compressed_ ? compressed_->spec() : source_->spec;
}

std::uint64_t ModelToRun::weight_bytes() const {
    if (source_) {
        return source_->weights.tensor_bytes();
    }
    std::uint64_t bytes = std::filesystem::file_size(compressed_->directory() / shard_file({}));
    for (std::size_t b = 0; b < compressed_->spec().n_blocks; ++b) {
        bytes += std::filesystem::file_size(compressed_->directory() / shard_file(b));
    }
    return bytes;
}

void require_same_outputs(const ModelSpec& model, const ModelSpec& reference,
                          const std::string& where) {
    if (reference.head != model.head || reference.n_outputs() != model.n_outputs()) {
        throw DataError(where + ": has " + std::to_string(reference.n_outputs()) +
                        " outputs (vocabulary or labels), the evaluated model " +
                        std::to_string(model.n_outputs()));
    }
}

FinalStates final_states(const ModelSpec& spec, const WeightSource& weights, const Backend& backend,
                         const TokenSequences& samples) {
    const std::size_t width = spec.hidden_size;
    ForwardPass forward(spec, backend, samples.max_length());
    const kernels::Array<float> stream = backend.allocate<float>(samples.tokens() * width);
    const std::vector<SequenceRange> ranges = samples.ranges(tokens_per_batch);
    std::vector<TokenSequences> batches;
    for (const SequenceRange& range : ranges) {
        batches.push_back(samples.part(range));
    }
    // Of a sliced model the stream of a batch is packed at the start of the batch's memory.
    const std::size_t steps = spec.steps_per_block();
    const auto for_each_batch = [&](std::size_t step, const auto& run) {
        for (std::size_t b = 0; b < batches.size(); ++b) {
            run(batches[b], MatrixView<float>(stream.data() + ranges[b].first_token * width,
                                              ranges[b].tokens, spec.stream_width(step)));
        }
    };
    {
        const LoadedWeights embedding = load_embedding(spec, weights, backend);
        for_each_batch(0, [&](const TokenSequences& batch, MatrixView<float> hidden) {
            forward.embed(embedding, batch, hidden);
        });
    }
    for (std::size_t b = 0; b < spec.n_blocks; ++b) {
        const LoadedWeights block = LoadedWeights::load(spec, weights, backend, b);
        for_each_batch(b * steps, [&](const TokenSequences& batch, MatrixView<float> hidden) {
            forward.block(block, batch, hidden);
        });
    }
    const std::vector<Role> roles{Role::final_norm, Role::head_projection};
    const LoadedWeights head = LoadedWeights::load(spec, weights, backend, std::nullopt, roles);
    FinalStates states =
        backend.allocate<float>(ForwardPass::head_rows(spec, samples) * spec.head_width());
    std::size_t n_done = 0;
    for_each_batch(
        spec.n_blocks * steps, [&](const TokenSequences& batch, MatrixView<float> hidden) {
            forward.final_norm(head, hidden);
            const MatrixView<const float> x = forward.head_input(head, batch, hidden);
            backend.copy(x, states.matrix(n_done + x.rows, x.cols).row_range(n_done, x.rows));
            n_done += x.rows;
        });
    return states;
}

void SampleLosses::append(const SampleLosses& others) {
    const auto add = [](auto& to, const auto& from) {
        to.insert(to.end(), from.begin(), from.end());
    };
    add(nll, others.nll);
    add(reference_nll, others.reference_nll);
    add(kl, others.kl);
    add(agree, others.agree);
}

void divergence(const Backend& backend, MatrixView<const float> p, MatrixView<const float> q,
                std::span<double> kl, std::span<std::uint8_t> agree) {
    if (p.cols != 1) {
        backend.kl_divergence(p, q, kl, agree);
        return;
    }
    const std::vector<float> p_host = backend.to_host(p);
    const std::vector<float> q_host = backend.to_host(q);
    for (std::size_t r = 0; r < p.rows; ++r) {
        const double difference = double{p_host[r]} - q_host[r];
        kl[r] = difference * difference / 2.0;
        agree[r] = 1;
    }
}

double total_divergence(const Backend& backend, MatrixView<const float> p,
                        MatrixView<const float> q) {
    std::vector<double> kl(p.rows);
    std::vector<std::uint8_t> agree(p.rows);
    divergence(backend, p, q, kl, agree);
    return std::accumulate(kl.begin(), kl.end(), 0.0);
}

SampleLosses sample_losses(const ModelSpec& spec, const WeightSource& weights,
                           const Backend& backend, const TokenSequences& samples,
                           const FinalStates& states, const ReferenceModel& reference) {
    Head head(spec, weights, backend);
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
    return final_states(given.spec, SourceWeights(given.spec, given.weights), context.backend(),
                        samples);
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
    if (!task.model.empty()) {
        return run_evaluation(context.backend(), task);
    }
    const SourceWeights source(context.spec(), context.source->weights);
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
    const SourceWeights given_weights(given, context.given_model().weights);
    return sample_losses(context.spec(), weights, context.backend(), task.samples, states,
                         {&given, &given_weights, &reference});
}

SampleLosses run_evaluation(const Backend& backend, const EvaluationTask& task) {
    const ModelToRun model(task.model);
    const FinalStates states = final_states(model.spec(), model.weights(), backend, task.samples);
    if (task.reference.empty()) {
        return sample_losses(model.spec(), model.weights(), backend, task.samples, states, {});
    }
    const ModelToRun reference(task.reference);
    require_same_outputs(model.spec(), reference.spec(), task.reference.string());
    const FinalStates reference_final =
        final_states(reference.spec(), reference.weights(), backend, task.samples);
    return sample_losses(model.spec(), model.weights(), backend, task.samples, states,
                         {&reference.spec(), &reference.weights(), &reference_final});
}

namespace {

/// Spreads rows of `width` values, one for each token, over [sequences, length, width]; what is not
/// covered stays 0.
void scatter(const std::vector<float>& rows, const TokenSequences& sequences, std::size_t length,
             std::size_t width, float* padded) {
    const float* from = rows.data();
    for (std::size_t s = 0; s < sequences.count(); ++s) {
        const std::size_t n = sequences.lengths[s] * width;
        std::copy_n(from, n, padded + s * length * width);
        from += n;
    }
}

}  // namespace

void write_logits(const ModelToRun& model, const Backend& backend,
                  const std::filesystem::path& ids_file, const std::filesystem::path& output,
                  bool hidden) {
    const ModelSpec& spec = model.spec();
    const Shape shape = ArtifactReader(ids_file).info("/input_ids").shape;
    const TokenSequences batch = read_token_rows(ids_file, spec.vocab_size);
    if (batch.tokens() == 0 || batch.max_length() > spec.max_positions) {
        throw DataError(ids_file.string() + ": input_ids is " + to_string(shape) +
                        ", expected [sequences, length] with length up to " +
                        std::to_string(spec.max_positions));
    }
    const std::size_t tokens = batch.tokens();
    const std::size_t width = spec.hidden_size;
    const std::size_t length = shape[1];
    const std::size_t padded = shape[0] * length;

    ForwardPass forward(spec, backend, batch.max_length());
    std::vector<float> states;
    if (hidden && spec.is_sliced()) {
        throw UsageError(
            "hidden states of a sliced model have no common width or basis; expected "
            "a model that is not sliced");
    }
    const auto keep = [&](MatrixView<const float> x) {
        if (!hidden) {
            return;
        }
        std::vector<float> host(tokens * width);
        backend.download(x, host.data());
        states.resize(states.size() + padded * width, 0.0F);
        scatter(host, batch, length, width, states.data() + states.size() - padded * width);
    };
    const kernels::Array<float> stream = backend.allocate<float>(tokens * width);
    MatrixView<float> x = stream.matrix(tokens, spec.stream_width(0));
    forward.embed(load_embedding(spec, model.weights(), backend), batch, x);
    keep(x);
    for (std::size_t b = 0; b < spec.n_blocks; ++b) {
        x = forward.block(LoadedWeights::load(spec, model.weights(), backend, b), batch, x);
        if (b + 1 < spec.n_blocks) {
            keep(x);
        }
    }
    const LoadedWeights head =
        LoadedWeights::load(spec, model.weights(), backend, std::nullopt, forward.head_roles());
    forward.final_norm(head, x);
    keep(x);
    const MatrixView<const float> head_input = forward.head_input(head, batch, x);
    const kernels::Array<float> logits =
        backend.allocate<float>(head_input.rows * spec.n_outputs());
    forward.head(head, head_input, logits.matrix(head_input.rows, spec.n_outputs()));
    std::vector<float> host(logits.size());
    backend.download(logits.matrix(head_input.rows, spec.n_outputs()), host.data());
    Shape logits_shape{shape[0], spec.n_outputs()};
    if (spec.head == HeadKind::language_model) {
        std::vector<float> spread(padded * spec.n_outputs(), 0.0F);
        scatter(host, batch, length, spec.n_outputs(), spread.data());
        host = std::move(spread);
        logits_shape = {shape[0], length, spec.n_outputs()};
    }

    ArtifactWriter file(output);
    file.dataset("/logits", DType::f32, logits_shape,
                 reinterpret_cast<const std::byte*>(host.data()));
    if (hidden) {
        file.dataset("/hidden", DType::f32, {spec.n_blocks + 1, shape[0], length, width},
                     reinterpret_cast<const std::byte*>(states.data()),
                     {{"final_norm_applied", std::int64_t{1}}});
    }
    file.commit();
}

std::string to_json(const EvaluationTask& task) {
    nlohmann::json choice = nlohmann::json::array();
    for (const Setting& setting : task.choice) {
        choice.push_back(to_string(setting));
    }
    return nlohmann::json{{"model", task.model.string()},
                          {"choice", choice},
                          {"refined", task.refined},
                          {"reference", task.reference.string()},
                          {"against_source", task.against_source},
                          {"samples", to_json(task.samples)}}
        .dump();
}

EvaluationTask evaluation_task_from_json(const std::string& text) {
    const auto json = parse_json(text);
    EvaluationTask task;
    task.model = json.at("model").get<std::string>();
    for (const auto& setting : json.at("choice")) {
        task.choice.push_back(setting_from_string(setting.get<std::string>()));
    }
    task.refined = json.at("refined");
    task.reference = json.at("reference").get<std::string>();
    task.against_source = json.at("against_source");
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
