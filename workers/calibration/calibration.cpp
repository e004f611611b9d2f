#include "workers/calibration/calibration.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/hash.hpp"
#include "lib/core/io_error.hpp"
#include "lib/core/json.hpp"
#include "lib/core/task_progress.hpp"
#include "workers/calibration/measured_model.hpp"
#include "workers/model/fused_weights.hpp"
#include "workers/network/forward.hpp"
#include "workers/slicing/rotation.hpp"
#include "workers/statistics/neuron_ranking.hpp"

namespace lathe {
namespace {

using kernels::Backend;

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

/// Not flushed to disk: of no use to another run.
void write_passing(const std::filesystem::path& path, std::span<const std::byte> bytes) {
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    file.close();
    if (!file) {
        throw_io("cannot write", path, errno);
    }
}

/// Reads and removes it.
std::vector<std::byte> read_passing(const std::filesystem::path& path, std::size_t size,
                                    std::uint64_t hash) {
    std::vector<std::byte> bytes(size);
    std::ifstream file(path, std::ios::binary);
    file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size));
    if (!file || hash_bytes(bytes) != hash) {
        throw IoError(path.string() + ": not what the block before has written; run again");
    }
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
    return bytes;
}

}  // namespace

/// The residual stream of all samples, batch after batch: from a rank, a file or the embedding;
/// and on to a rank and, now and then, a file.
class Calibrator::Stream {
public:
    Stream(const JobContext& context, const CalibrationTask& task, bool store)
        : context_(context),
          model_(context),
          task_(task),
          samples_(read_samples(context.run.samples()).calibration),
          forward_(model_.spec(), context.backend(), samples_.max_length()),
          ranges_(samples_.ranges(tokens_per_batch)) {
        forward_.use_bf16(context.calibrates_in_bf16());
        const ModelSpec& spec = model_.spec();
        const std::size_t most = std::ranges::max(ranges_, {}, &SequenceRange::tokens).tokens;
        buffer_ = context.backend().allocate<float>(most * spec.hidden_size);
        if (task.from < 0 && task.stored_stream) {
            open_stored();
        }
        if (task.from < 0 && !task.stored_stream) {
            embedding_ = LoadedWeights::load(spec, model_.weights(), context.backend(),
                                             std::nullopt, ForwardPass::embedding_roles());
        }
        if (store) {
            output_.emplace(context.run.stream(task.block + 1, task.sweep));
            output_->group("/", {{"fingerprint", task.next_stream_fingerprint}});
        }
    }

    [[nodiscard]] std::size_t n_batches() const { return ranges_.size(); }
    [[nodiscard]] const TokenSequences& batch() const { return batch_; }
    [[nodiscard]] ForwardPass& forward() { return forward_; }
    [[nodiscard]] const MeasuredModel& model() const { return model_; }

    /// The stream of a batch as it enters the block; batch() is then this batch. Valid until the
    /// next call.
    MatrixView<float> enter(std::size_t number) {
        batch_ = samples_.part(ranges_[number]);
        const std::size_t tokens = batch_.tokens();
        const MatrixView<float> hidden = buffer_.matrix(tokens, context_.spec().hidden_size);
        if (task_.from >= 0) {
            take(receive(number, tokens), hidden);
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
            const auto start = std::chrono::steady_clock::now();
            output_->dataset(dataset(batch), DType::f32, {hidden.rows, hidden.cols}, bytes.data());
            stored_for_ += std::chrono::steady_clock::now() - start;
        }
        if (task_.to >= 0) {
            send(batch, std::move(bytes));
            ++sent_;
        }
    }

    /// Completes the stored stream; streams of earlier blocks are of no more use. Returns how long
    /// storing took.
    StorePace::Seconds commit() {
        const auto start = std::chrono::steady_clock::now();
        output_->commit();
        for (std::size_t b = 0; b <= task_.block; ++b) {
            std::error_code ignored;
            std::filesystem::remove(context_.run.stream(b, task_.sweep), ignored);
        }
        return stored_for_ + (std::chrono::steady_clock::now() - start);
    }

    /// Tells the next task that nothing more will come: an empty message.
    void give_up() {
        if (task_.to >= 0 && sent_ < n_batches()) {
            context_.world->send(task_.to, comm::Tag::activation, {});
        }
    }

private:
    static std::string dataset(std::size_t batch) { return "/batch_" + std::to_string(batch); }

    void open_stored() {
        const std::filesystem::path file = context_.run.stream(task_.block, task_.sweep);
        input_.emplace(file);
        if (text_attribute(input_->attributes("/"), "fingerprint", file.string()) !=
            task_.stream_fingerprint) {
            throw DataError(file.string() +
                            " is not the stream that calibration left here; remove the file");
        }
    }

    void send(std::size_t batch, std::vector<std::byte> bytes) {
        if (task_.in_files) {
            const std::uint64_t hash = hash_bytes(bytes);
            write_passing(context_.run.passing_stream(task_.block + 1, batch, task_.sweep), bytes);
            bytes.resize(sizeof hash);
            std::memcpy(bytes.data(), &hash, sizeof hash);
        }
        context_.world->send(task_.to, comm::Tag::activation, std::move(bytes));
    }

    std::vector<std::byte> receive(std::size_t batch, std::size_t tokens) {
        const std::size_t size = tokens * context_.spec().hidden_size * sizeof(float);
        auto message = context_.world->receive(task_.from, comm::Tag::activation);
        std::uint64_t hash = 0;
        if (!message || message->bytes.size() != (task_.in_files ? sizeof hash : size)) {
            throw StoppedError(
                "calibration of " + place_name(task_.block, context_.spec().n_blocks) +
                " stopped: the block before it failed on rank " + std::to_string(task_.from));
        }
        if (!task_.in_files) {
            return std::move(message->bytes);
        }
        std::memcpy(&hash, message->bytes.data(), sizeof hash);
        return read_passing(context_.run.passing_stream(task_.block, batch, task_.sweep), size,
                            hash);
    }

    void take(const std::vector<std::byte>& bytes, MatrixView<float> hidden) {
        if (bytes.size() != hidden.rows * hidden.cols * sizeof(float)) {
            throw DataError(context_.run.stream(task_.block, task_.sweep).string() +
                            ": a batch has another size than the samples; remove the file");
        }
        context_.backend().upload(bytes.data(), DType::f32, hidden);
    }

    const JobContext& context_;
    MeasuredModel model_;
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
    StorePace::Seconds stored_for_{0};
};

bool Calibrator::is_cut_short(std::size_t block) const {
    return block + 1 == context_.spec().n_blocks && !reads_stream_end(context_);
}

void Calibrator::run(const CalibrationTask& task) {
    const auto start = std::chrono::steady_clock::now();
    const bool leaves_a_stream = task.block < context_.spec().n_blocks && !is_cut_short(task.block);
    const bool store = leaves_a_stream && pace_.is_due(last_task_);
    Stream stream(context_, task, store);
    try {
        pass(task, stream);
        if (store) {
            pace_.has_stored(stream.commit());
        }
    } catch (...) {
        stream.give_up();
        throw;
    }
    last_task_ = std::chrono::steady_clock::now() - start;
}

TokenWeights Calibrator::weights_of_tokens(const CalibrationTask& task,
                                           std::size_t n_batches) const {
    if (!task.accumulate || !context_.weighs_tokens()) {
        return {};
    }
    const std::optional<std::size_t> block =
        task.block < context_.spec().n_blocks ? std::optional(task.block) : std::nullopt;
    return TokenWeights::read(context_.run, context_.spec(), block, n_batches);
}

void Calibrator::pass(const CalibrationTask& task, Stream& stream) const {
    const Backend& backend = context_.backend();
    const ModelSpec& model = stream.model().spec();
    const std::string place = place_name(task.block, context_.spec().n_blocks);
    const bool is_head = task.block == model.n_blocks;
    std::optional<LoadedWeights> loaded =
        is_head ? LoadedWeights::load(model, stream.model().weights(), backend, std::nullopt,
                                      stream.forward().head_roles())
                : LoadedWeights::load(model, stream.model().weights(), backend, task.block);
    const LoadedWeights& weights = *loaded;
    StatisticsCollector statistics(
        backend, context_.job.slice, context_.gathers_inputs(),
        context_.orders_neurons() ? output_norms(weights, backend) : std::vector<float>());
    const TokenWeights token_weights = weights_of_tokens(task, stream.n_batches());
    std::size_t batch = 0;
    const SignalObserver observe = [&](Signal signal, MatrixView<const float> x) {
        if (task.accumulate) {
            statistics.add(signal, x, token_weights.factors(signal, batch));
        }
    };
    StreamCutter cutter(context_, task.sweep, task.widths);
    for (; batch < stream.n_batches(); ++batch) {
        const MatrixView<float> hidden = stream.enter(batch);
        const auto at_boundary = [&](std::size_t step) {
            const std::size_t boundary = task.block * model.steps_per_block() + step;
            if (context_.fused) {
                observe(boundary_place(model, boundary).stream, hidden);
                cutter.cut(boundary, hidden);
            }
        };
        if (is_head) {
            at_boundary(0);
            observe_head(stream.forward(), weights, stream.batch(), hidden, observe);
        } else {
            for (std::size_t step = 0; step < model.steps_per_block(); ++step) {
                at_boundary(step);
                if (!is_cut_short(task.block) || step + 1 < model.steps_per_block()) {
                    stream.forward().step(step, weights, stream.batch(), hidden, observe);
                }
            }
        }
        if (!backend.all_finite(hidden)) {
            throw DataError("the activations after " + place +
                            " are not finite (NaN or infinity) on calibration batch " +
                            std::to_string(batch));
        }
        stream.leave(batch, hidden);
        tell_progress(batch + 1, stream.n_batches());
    }
    loaded.reset();  // writing takes memory too
    if (task.accumulate) {
        statistics.write(context_.run.statistics(place, task.sweep), task.fingerprint);
    }
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
                          {"in_files", task.in_files},
                          {"fingerprint", task.fingerprint},
                          {"stream_fingerprint", task.stream_fingerprint},
                          {"next_stream_fingerprint", task.next_stream_fingerprint},
                          {"sweep", task.sweep},
                          {"widths", task.widths}}
        .dump();
}

CalibrationTask calibration_task_from_json(const std::string& text) {
    const auto json = parse_json(text);
    return {json.at("block"),
            json.at("from"),
            json.at("to"),
            json.at("accumulate"),
            json.at("stored_stream"),
            json.at("in_files"),
            json.at("fingerprint"),
            json.at("stream_fingerprint"),
            json.at("next_stream_fingerprint"),
            json.at("sweep"),
            json.at("widths").get<std::vector<std::size_t>>()};
}

}  // namespace lathe
