#include "workers/calibration.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "workers/forward.hpp"

namespace lathe {
namespace {

using kernels::Backend;

/// Seconds between stored streams: what a restart may have to repeat, at most.
constexpr double store_interval_seconds = 60.0;

/// Accumulates the statistics of one signal.
class Accumulator {
public:
    Accumulator(const Backend& backend, std::size_t width)
        : width_(width),
          gram_(backend.allocate<double>(width * width)),
          sum_abs_(backend.allocate<double>(width)),
          minimum_(width, std::numeric_limits<float>::infinity()),
          maximum_(width, -std::numeric_limits<float>::infinity()) {}

    void add(const Backend& backend, MatrixView<const float> x) {
        backend.accumulate_gram(x, gram_.matrix(width_, width_));
        backend.accumulate_column_statistics(x, {sum_abs_.span(), minimum_, maximum_});
        tokens_ += x.rows;
    }

    void write(ArtifactWriter& file, Signal signal) const {
        const std::string group = "/" + std::string(name(signal));
        const double scale = 1.0 / static_cast<double>(tokens_);
        std::vector<float> gram(width_ * width_);
        for (std::size_t i = 0; i < width_; ++i) {
            for (std::size_t j = i; j < width_; ++j) {
                const auto value = static_cast<float>(gram_.data()[i * width_ + j] * scale);
                gram[i * width_ + j] = value;
                gram[j * width_ + i] = value;
            }
        }
        std::vector<float> mean_abs(width_);
        for (std::size_t j = 0; j < width_; ++j) {
            mean_abs[j] = static_cast<float>(sum_abs_.data()[j] * scale);
        }
        file.group(group, {{"tokens", static_cast<std::int64_t>(tokens_)}});
        const auto write = [&](const std::string& name, const Shape& shape,
                               const std::vector<float>& values) {
            file.dataset(group + "/" + name, DType::f32, shape,
                         reinterpret_cast<const std::byte*>(values.data()));
        };
        write("gram", {width_, width_}, gram);
        write("mean_abs", {width_}, mean_abs);
        write("minimum", {width_}, minimum_);
        write("maximum", {width_}, maximum_);
    }

private:
    std::size_t width_;
    std::size_t tokens_ = 0;
    kernels::Array<double> gram_;
    kernels::Array<double> sum_abs_;
    std::vector<float> minimum_;
    std::vector<float> maximum_;
};

/// What the head reads, and in a classifier what comes after.
void observe_head(ForwardPass& forward, const LoadedWeights& head, const TokenSequences& batch,
                  MatrixView<float> hidden, const SignalObserver& observe) {
    forward.final_norm(head, hidden);
    const MatrixView<const float> x = forward.head_input(head, batch, hidden);
    observe(Signal::head_in, x);
    if (head.has(Role::classifier)) {
        std::vector<float> logits(x.rows * head.weight(Role::classifier).rows());
        forward.head(head, x, {logits.data(), x.rows, logits.size() / x.rows}, observe);
    }
}

std::string place_name(const ModelSpec& spec, std::size_t block) {
    return block < spec.n_blocks ? block_name(block) : "head";
}

}  // namespace

/// The residual stream of all samples, batch after batch: from a rank, a file or the embedding;
/// and on to a rank and, now and then, a file.
class Calibrator::Stream {
public:
    Stream(const JobContext& context, const CalibrationTask& task, bool store)
        : context_(context),
          task_(task),
          samples_(read_samples(context.run.samples()).calibration),
          forward_(context.spec(), context.backend(), samples_.max_length()),
          ranges_(samples_.ranges(tokens_per_batch)) {
        const ModelSpec& spec = context.spec();
        const std::size_t most = std::ranges::max(ranges_, {}, &SequenceRange::tokens).tokens;
        buffer_ = context.backend().allocate<float>(most * spec.hidden_size);
        if (task.from < 0 && task.stored_stream) {
            input_.emplace(context.run.stream(task.block));
        }
        if (task.from < 0 && !task.stored_stream) {
            const SourceWeights weights(spec, context.source->weights);
            embedding_ = LoadedWeights::load(spec, weights, context.backend(), std::nullopt,
                                             ForwardPass::embedding_roles());
        }
        if (store) {
            output_.emplace(context.run.stream(task.block + 1));
        }
    }

    [[nodiscard]] std::size_t n_batches() const { return ranges_.size(); }
    [[nodiscard]] const TokenSequences& batch() const { return batch_; }
    [[nodiscard]] ForwardPass& forward() { return forward_; }

    /// The stream of a batch as it enters the block; batch() is then this batch. Valid until the
    /// next call.
    MatrixView<float> enter(std::size_t number) {
        batch_ = samples_.part(ranges_[number]);
        const std::size_t tokens = batch_.tokens();
        const MatrixView<float> hidden = buffer_.matrix(tokens, context_.spec().hidden_size);
        if (task_.from >= 0) {
            take(receive(tokens), hidden);
        } else if (input_) {
            take(input_->read(dataset(number)), hidden);
        } else {
            forward_.embed(*embedding_, batch_, hidden);
        }
        return hidden;
    }

    /// Passes the batch on, as it leaves the block.
    void leave(std::size_t batch, MatrixView<const float> hidden) {
        if (task_.to < 0 && !output_) {
            return;
        }
        std::vector<std::byte> bytes(hidden.rows * hidden.cols * sizeof(float));
        context_.backend().download(hidden, reinterpret_cast<float*>(bytes.data()));
        if (output_) {
            output_->dataset(dataset(batch), DType::f32, {hidden.rows, hidden.cols}, bytes.data());
        }
        if (task_.to >= 0) {
            context_.world->send(task_.to, comm::Tag::activation, std::move(bytes));
            ++sent_;
        }
    }

    /// Completes the stored stream; streams of earlier blocks are of no more use.
    void commit() {
        if (!output_) {
            return;
        }
        output_->commit();
        for (std::size_t b = 0; b <= task_.block; ++b) {
            std::error_code ignored;
            std::filesystem::remove(context_.run.stream(b), ignored);
        }
    }

    /// Tells the next task that nothing more will come: an empty message.
    void give_up() {
        if (task_.to >= 0 && sent_ < n_batches()) {
            context_.world->send(task_.to, comm::Tag::activation, {});
        }
    }

private:
    static std::string dataset(std::size_t batch) { return "/batch_" + std::to_string(batch); }

    std::vector<std::byte> receive(std::size_t tokens) {
        auto message = context_.world->receive(task_.from, comm::Tag::activation);
        if (!message || message->bytes.size() != tokens * context_.spec().hidden_size * 4) {
            throw StoppedError("calibration of " + place_name(context_.spec(), task_.block) +
                               " stopped: the block before it failed on rank " +
                               std::to_string(task_.from));
        }
        return std::move(message->bytes);
    }

    void take(const std::vector<std::byte>& bytes, MatrixView<float> hidden) {
        if (bytes.size() != hidden.rows * hidden.cols * sizeof(float)) {
            throw DataError(context_.run.stream(task_.block).string() +
                            ": a batch has another size than the samples; remove the file");
        }
        context_.backend().upload(bytes.data(), DType::f32, hidden);
    }

    const JobContext& context_;
    const CalibrationTask& task_;
    TokenSequences samples_;
    ForwardPass forward_;
    std::vector<SequenceRange> ranges_;  ///< of the batches
    TokenSequences batch_;
    std::size_t sent_ = 0;
    kernels::Array<float> buffer_;
    std::optional<ArtifactReader> input_;
    std::optional<LoadedWeights> embedding_;
    std::optional<ArtifactWriter> output_;
};

void Calibrator::run(const CalibrationTask& task) {
    const ModelSpec& spec = context_.spec();
    const Backend& backend = context_.backend();
    const bool is_head = task.block == spec.n_blocks;
    const std::chrono::duration<double> since = std::chrono::steady_clock::now() - last_stored_;
    const bool store = !is_head && task.accumulate && since.count() > store_interval_seconds;

    Stream stream(context_, task, store);
    try {
        const SourceWeights source(spec, context_.source->weights);
        const LoadedWeights weights = is_head
                                          ? LoadedWeights::load(spec, source, backend, std::nullopt,
                                                                stream.forward().head_roles())
                                          : LoadedWeights::load(spec, source, backend, task.block);
        std::map<Signal, Accumulator> statistics;
        const SignalObserver observe = [&](Signal signal, MatrixView<const float> x) {
            if (!task.accumulate) {
                return;
            }
            statistics.try_emplace(signal, backend, x.cols).first->second.add(backend, x);
        };
        for (std::size_t b = 0; b < stream.n_batches(); ++b) {
            const MatrixView<float> hidden = stream.enter(b);
            if (is_head) {
                observe_head(stream.forward(), weights, stream.batch(), hidden, observe);
            } else {
                stream.forward().block(weights, stream.batch(), hidden, observe);
            }
            if (!backend.all_finite(hidden)) {
                throw DataError("the activations after " + place_name(spec, task.block) +
                                " are not finite (NaN or infinity) on calibration batch " +
                                std::to_string(b));
            }
            stream.leave(b, hidden);
        }
        if (task.accumulate) {
            ArtifactWriter file(context_.run.statistics(place_name(spec, task.block)));
            file.group("/", {{"fingerprint", task.fingerprint}});
            for (const auto& [signal, accumulator] : statistics) {
                accumulator.write(file, signal);
            }
            file.commit();
        }
        if (store) {
            stream.commit();
            last_stored_ = std::chrono::steady_clock::now();
        }
    } catch (...) {
        stream.give_up();
        throw;
    }
}

SignalStatistics read_statistics(const std::filesystem::path& file, Signal signal) {
    const ArtifactReader reader(file);
    const std::string group = "/" + std::string(name(signal));
    const std::vector<std::byte> bytes = reader.read(group + "/gram");
    SignalStatistics statistics;
    statistics.tokens = static_cast<std::size_t>(
        integer_attribute(reader.attributes(group), "tokens", file.string() + ": " + group));
    statistics.width = reader.info(group + "/gram").shape.at(0);
    statistics.gram.resize(statistics.width * statistics.width);
    const auto* values = reinterpret_cast<const float*>(bytes.data());
    std::copy(values, values + statistics.gram.size(), statistics.gram.begin());
    return statistics;
}

std::vector<float> token_frequencies(const TokenSequences& samples, std::size_t vocab_size) {
    std::vector<double> counts(vocab_size, 1.0 / static_cast<double>(vocab_size));
    for (std::uint32_t id : samples.ids) {
        counts[id] += 1.0;
    }
    std::vector<float> shares(vocab_size);
    for (std::size_t v = 0; v < vocab_size; ++v) {
        shares[v] = static_cast<float>(counts[v] / static_cast<double>(samples.ids.size() + 1));
    }
    return shares;
}

std::string to_json(const CalibrationTask& task) {
    return nlohmann::json{{"block", task.block},
                          {"from", task.from},
                          {"to", task.to},
                          {"accumulate", task.accumulate},
                          {"stored_stream", task.stored_stream},
                          {"fingerprint", task.fingerprint}}
        .dump();
}

CalibrationTask calibration_task_from_json(const std::string& text) {
    const auto json = parse_json(text);
    return {json.at("block"),      json.at("from"),          json.at("to"),
            json.at("accumulate"), json.at("stored_stream"), json.at("fingerprint")};
}

}  // namespace lathe
