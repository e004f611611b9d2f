#include "workers/evaluation.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "workers/forward.hpp"

namespace lathe {
namespace {

using kernels::Backend;

/// Rows of logits held at a time: bounds memory at large vocabularies.
constexpr std::size_t logit_rows = 256;

LoadedWeights load_embedding(const ModelSpec& spec, const WeightSource& weights,
                             const Backend& backend) {
    return LoadedWeights::load(spec, weights, backend, std::nullopt,
                               ForwardPass::embedding_roles());
}

/// Calls `run(first row, batch)` for the batches the windows are cut into.
template <class Run>
void for_each_batch(const TokenWindows& windows, const Run& run) {
    const std::size_t step = sequences_per_batch(windows.length);
    for (std::size_t w = 0; w < windows.count(); w += step) {
        run(w * windows.length, SequenceBatch{std::min(step, windows.count() - w), windows.length});
    }
}

/// What the head makes of final states, tile after tile.
class Head {
public:
    Head(const ModelSpec& spec, const WeightSource& weights, const Backend& backend)
        : spec_(spec),
          backend_(backend),
          forward_(spec, backend, 1),
          loaded_(LoadedWeights::load(spec, weights, backend, std::nullopt, forward_.head_roles())),
          logits_(backend.allocate<float>(logit_rows * spec.vocab_size)) {}

    MatrixView<const float> logits(const FinalStates& states, std::size_t first,
                                   std::size_t count) const {
        const MatrixView<float> tile = logits_.matrix(count, spec_.vocab_size);
        const MatrixView<const float> x(states.data() + first * spec_.hidden_size, count,
                                        spec_.hidden_size);
        forward_.head(loaded_, x, tile);
        return tile;
    }

private:
    const ModelSpec& spec_;
    const Backend& backend_;
    ForwardPass forward_;
    LoadedWeights loaded_;
    kernels::Array<float> logits_;
};

std::vector<std::uint32_t> targets_of(const TokenWindows& windows, std::size_t first,
                                      std::size_t count) {
    std::vector<std::uint32_t> targets(count);
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t row = first + i;
        // The last position of a window predicts nothing; any target will do.
        const bool last = row % windows.length + 1 == windows.length;
        targets[i] = last ? 0 : windows.ids[row + 1];
    }
    return targets;
}

}  // namespace

ModelToRun::ModelToRun(const std::filesystem::path& directory) {
    if (CompressedCheckpoint::is_one(directory)) {
        compressed_ = std::make_unique<CompressedCheckpoint>(directory);
        weights_ = std::make_unique<CheckpointWeights>(*compressed_);
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

FinalStates final_states(const ModelSpec& spec, const WeightSource& weights, const Backend& backend,
                         const TokenWindows& windows) {
    const std::size_t width = spec.hidden_size;
    ForwardPass forward(spec, backend, windows.length);
    FinalStates states = backend.allocate<float>(windows.ids.size() * width);
    const auto rows = [&](std::size_t first, const SequenceBatch& batch) {
        return MatrixView<float>(states.data() + first * width, batch.tokens(), width);
    };
    {
        const LoadedWeights embedding = load_embedding(spec, weights, backend);
        for_each_batch(windows, [&](std::size_t first, const SequenceBatch& batch) {
            forward.embed(embedding, std::span(windows.ids).subspan(first, batch.tokens()),
                          rows(first, batch));
        });
    }
    for (std::size_t b = 0; b < spec.n_blocks; ++b) {
        const LoadedWeights block = LoadedWeights::load(spec, weights, backend, b);
        for_each_batch(windows, [&](std::size_t first, const SequenceBatch& batch) {
            forward.block(block, batch, rows(first, batch));
        });
    }
    const std::vector<Role> norm{Role::final_norm};
    const LoadedWeights head = LoadedWeights::load(spec, weights, backend, std::nullopt, norm);
    for_each_batch(windows, [&](std::size_t first, const SequenceBatch& batch) {
        forward.final_norm(head, rows(first, batch), rows(first, batch));
    });
    return states;
}

WindowLosses window_losses(const ModelSpec& spec, const WeightSource& weights,
                           const Backend& backend, const TokenWindows& windows,
                           const FinalStates& states, const ReferenceModel& reference) {
    const Head head(spec, weights, backend);
    std::optional<Head> reference_head;
    if (reference.states != nullptr) {
        reference_head.emplace(*reference.spec, *reference.weights, backend);
    }
    WindowLosses losses;
    losses.nll.assign(windows.count(), 0.0);
    const std::size_t n_compared = reference_head ? windows.count() : 0;
    losses.reference_nll.assign(n_compared, 0.0);
    losses.kl.assign(n_compared, 0.0);
    losses.agree.assign(n_compared, 0);
    std::vector<double> values(logit_rows);
    std::vector<std::uint8_t> agree(logit_rows);
    for (std::size_t first = 0; first < windows.ids.size(); first += logit_rows) {
        const std::size_t count = std::min(logit_rows, windows.ids.size() - first);
        const std::vector<std::uint32_t> targets = targets_of(windows, first, count);
        const auto add_nll = [&](MatrixView<const float> logits, std::vector<double>& sums) {
            backend.cross_entropy(logits, targets, std::span(values).first(count));
            for (std::size_t i = 0; i < count; ++i) {
                const bool predicts = (first + i) % windows.length + 1 < windows.length;
                if (predicts) {
                    sums[(first + i) / windows.length] += values[i];
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
        backend.kl_divergence(reference_logits, logits, std::span(values).first(count),
                              std::span(agree).first(count));
        for (std::size_t i = 0; i < count; ++i) {
            losses.kl[(first + i) / windows.length] += values[i];
            losses.agree[(first + i) / windows.length] += agree[i];
        }
    }
    return losses;
}

namespace {

/// The source model's final states of a chunk, computed once and kept in the run directory.
FinalStates reference_states(const JobContext& context, const EvaluationTask& task) {
    const std::filesystem::path file = context.run.reference(task.chunk);
    const std::size_t width = context.spec().hidden_size;
    const Shape shape{task.windows.ids.size(), width};
    std::error_code ignored;
    if (std::filesystem::exists(file, ignored)) {
        const std::vector<std::byte> bytes = ArtifactReader(file).read("/states");
        FinalStates states = context.backend().allocate<float>(element_count(shape));
        if (bytes.size() == states.size() * sizeof(float)) {
            context.backend().upload(bytes.data(), DType::f32, states.matrix(shape[0], width));
            return states;
        }
    }
    const SourceWeights source(context.spec(), context.source->weights);
    FinalStates states = final_states(context.spec(), source, context.backend(), task.windows);
    std::vector<float> host(states.size());
    context.backend().download(states.matrix(shape[0], width), host.data());
    ArtifactWriter writer(file);
    writer.dataset("/states", DType::f32, shape, reinterpret_cast<const std::byte*>(host.data()));
    writer.commit();
    return states;
}

}  // namespace

WindowLosses run_evaluation(const JobContext& context, const EvaluationTask& task) {
    if (!task.model.empty()) {
        return run_evaluation(context.backend(), task);
    }
    const SourceWeights source(context.spec(), context.source->weights);
    std::optional<PlanWeights> plan;
    if (!task.choice.empty()) {
        plan.emplace(context, task.choice);
    }
    const WeightSource& weights =
        plan ? static_cast<const WeightSource&>(*plan) : static_cast<const WeightSource&>(source);
    const FinalStates states =
        final_states(context.spec(), weights, context.backend(), task.windows);
    if (!task.against_source) {
        return window_losses(context.spec(), weights, context.backend(), task.windows, states, {});
    }
    const FinalStates reference = reference_states(context, task);
    return window_losses(context.spec(), weights, context.backend(), task.windows, states,
                         {&context.spec(), &source, &reference});
}

WindowLosses run_evaluation(const Backend& backend, const EvaluationTask& task) {
    const ModelToRun model(task.model);
    const FinalStates states = final_states(model.spec(), model.weights(), backend, task.windows);
    if (task.reference.empty()) {
        return window_losses(model.spec(), model.weights(), backend, task.windows, states, {});
    }
    const ModelToRun reference(task.reference);
    if (reference.spec().vocab_size != model.spec().vocab_size) {
        throw DataError(task.reference.string() + ": a vocabulary of " +
                        std::to_string(reference.spec().vocab_size) + ", the evaluated model has " +
                        std::to_string(model.spec().vocab_size));
    }
    const FinalStates reference_final =
        final_states(reference.spec(), reference.weights(), backend, task.windows);
    return window_losses(model.spec(), model.weights(), backend, task.windows, states,
                         {&reference.spec(), &reference.weights(), &reference_final});
}

void write_logits(const ModelToRun& model, const Backend& backend,
                  const std::filesystem::path& ids_file, const std::filesystem::path& output,
                  bool hidden) {
    const ModelSpec& spec = model.spec();
    const ArtifactReader input(ids_file);
    const Shape shape = input.info("/input_ids").shape;
    if (shape.size() != 2 || shape[0] == 0 || shape[1] == 0 || shape[1] > spec.max_positions) {
        throw DataError(ids_file.string() + ": input_ids is " + to_string(shape) +
                        ", expected [sequences, length] with length up to " +
                        std::to_string(spec.max_positions));
    }
    const std::vector<std::filesystem::path> files{ids_file};
    const TokenWindows windows{shape[1], read_token_stream(files, nullptr, spec.vocab_size)};
    const std::size_t tokens = windows.ids.size();
    const std::size_t width = spec.hidden_size;
    const SequenceBatch batch{shape[0], shape[1]};

    ForwardPass forward(spec, backend, windows.length);
    std::vector<float> states;
    const auto keep = [&](MatrixView<const float> x) {
        if (!hidden) {
            return;
        }
        states.resize(states.size() + tokens * width);
        backend.download(x, states.data() + states.size() - tokens * width);
    };
    const kernels::Array<float> stream = backend.allocate<float>(tokens * width);
    const MatrixView<float> x = stream.matrix(tokens, width);
    forward.embed(load_embedding(spec, model.weights(), backend), windows.ids, x);
    keep(x);
    for (std::size_t b = 0; b < spec.n_blocks; ++b) {
        forward.block(LoadedWeights::load(spec, model.weights(), backend, b), batch, x);
        if (b + 1 < spec.n_blocks) {
            keep(x);
        }
    }
    const LoadedWeights head =
        LoadedWeights::load(spec, model.weights(), backend, std::nullopt, forward.head_roles());
    forward.final_norm(head, x, x);
    keep(x);
    const kernels::Array<float> logits = backend.allocate<float>(tokens * spec.vocab_size);
    forward.head(head, x, logits.matrix(tokens, spec.vocab_size));
    std::vector<float> host(logits.size());
    backend.download(logits.matrix(tokens, spec.vocab_size), host.data());

    ArtifactWriter file(output);
    file.dataset("/logits", DType::f32, {shape[0], shape[1], spec.vocab_size},
                 reinterpret_cast<const std::byte*>(host.data()));
    if (hidden) {
        file.dataset("/hidden", DType::f32, {spec.n_blocks + 1, shape[0], shape[1], width},
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
                          {"reference", task.reference.string()},
                          {"against_source", task.against_source},
                          {"chunk", task.chunk},
                          {"length", task.windows.length},
                          {"ids", task.windows.ids}}
        .dump();
}

EvaluationTask evaluation_task_from_json(const std::string& text) {
    const auto json = nlohmann::json::parse(text);
    EvaluationTask task;
    task.model = json.at("model").get<std::string>();
    for (const auto& setting : json.at("choice")) {
        task.choice.push_back(setting_from_string(setting.get<std::string>()));
    }
    task.reference = json.at("reference").get<std::string>();
    task.against_source = json.at("against_source");
    task.chunk = json.at("chunk");
    task.windows = {json.at("length"), json.at("ids").get<std::vector<std::uint32_t>>()};
    return task;
}

std::string to_json(const WindowLosses& losses) {
    return nlohmann::json{{"nll", losses.nll},
                          {"reference_nll", losses.reference_nll},
                          {"kl", losses.kl},
                          {"agree", losses.agree}}
        .dump();
}

WindowLosses window_losses_from_json(const std::string& text) {
    const auto json = nlohmann::json::parse(text);
    return {json.at("nll").get<std::vector<double>>(),
            json.at("reference_nll").get<std::vector<double>>(),
            json.at("kl").get<std::vector<double>>(),
            json.at("agree").get<std::vector<std::uint64_t>>()};
}

}  // namespace lathe
