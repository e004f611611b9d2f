#include "workers/job_context.hpp"

#include <algorithm>

#include "lib/checkpoint/artifact.hpp"
#include "lib/config/default_candidates.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/half.hpp"
#include "lib/core/log.hpp"
#include "lib/model/rope.hpp"
#include "lib/model/settled_config.hpp"
#include "lib/model/stream.hpp"
#include "methods/method.hpp"
#include "workers/compression.hpp"
#include "workers/fused_weights.hpp"

namespace lathe {
namespace fs = std::filesystem;

namespace {

/// Whether two tensors hold the same values, in whatever types they are stored.
bool same_values(const StoredTensor& a, const StoredTensor& b) {
    if (a.shape != b.shape) {
        return false;
    }
    if (a.dtype == b.dtype) {
        return std::ranges::equal(a.bytes, b.bytes);
    }
    if (!is_floating(a.dtype) || !is_floating(b.dtype)) {
        return false;
    }
    const std::size_t count = element_count(a.shape);
    constexpr std::size_t step = 1 << 16;
    std::vector<float> of_a(std::min(step, count));
    std::vector<float> of_b(of_a.size());
    for (std::size_t i = 0; i < count; i += step) {
        const std::size_t n = std::min(step, count - i);
        to_float(a.bytes.data() + i * size_bytes(a.dtype), a.dtype, {of_a.data(), n});
        to_float(b.bytes.data() + i * size_bytes(b.dtype), b.dtype, {of_b.data(), n});
        if (!std::equal(of_a.begin(), of_a.begin() + static_cast<std::ptrdiff_t>(n),
                        of_b.begin())) {
            return false;
        }
    }
    return true;
}

/// Stored rotary frequencies that contradict config.json are refused: one of the two is wrong.
void check_buffers(const ModelSpec& spec, const SafetensorsCheckpoint& weights,
                   const std::vector<PassedOver>& passed_over, const std::string& where) {
    for (const PassedOver& buffer : passed_over) {
        const StoredTensor& tensor = weights.at(buffer.name);
        if (buffer.reason != "a buffer" || !buffer.name.ends_with(".inv_freq") ||
            !is_floating(tensor.dtype)) {
            continue;
        }
        std::vector<float> values(element_count(tensor.shape));
        to_float(tensor.bytes.data(), tensor.dtype, values);
        check_stored_frequencies(spec.rope, values, buffer.name, where);
    }
}

}  // namespace

std::string ModelOutline::config_text() const {
    return settled_config ? *settled_config : read_file(directory / "config.json");
}

std::unique_ptr<SourceModel> SourceModel::open(const fs::path& directory,
                                               const std::vector<std::string>& ignore) {
    std::error_code error;
    if (!fs::is_directory(directory, error)) {
        throw MissingInputError("no such model directory: " + directory.string());
    }
    const fs::path config_file = directory / "config.json";
    const std::string config = read_file(config_file);
    ModelSpec spec = read_model_directory(directory, config);
    SafetensorsCheckpoint weights(directory);
    std::vector<FoundTensor> found;
    for (const auto& [name, tensor] : weights.tensors()) {
        found.push_back({name, tensor.dtype, tensor.shape});
    }
    const bool is_own = fs::exists(directory / slicing_file, error);  // and settled when written
    const auto settled = is_own ? std::nullopt
                                : settle_config(
                                      config, found,
                                      [&](const std::string& a, const std::string& b) {
                                          return same_values(weights.at(a), weights.at(b));
                                      },
                                      config_file.string());
    std::optional<std::string> settled_text;
    if (settled) {
        log_warning("weights_win_over_config file=" + config_file.string() + " " + settled->change);
        settled_text = settled->text;
        spec = read_model_directory(directory, settled->text);
    }
    auto passed_over = match_tensors(spec, found, ignore, directory.string());
    check_buffers(spec, weights, passed_over, directory.string());
    std::vector<DType> dtypes;
    for (const TensorSpec& tensor : spec.tensors) {
        dtypes.push_back(weights.at(tensor.name).dtype);
    }
    return std::make_unique<SourceModel>(
        SourceModel{{directory, std::move(spec), std::move(dtypes), std::move(settled_text)},
                    std::move(weights),
                    std::move(passed_over)});
}

std::unique_ptr<Tokenizer> open_tokenizer(const fs::path& directory, const ModelSpec& spec) {
    std::unique_ptr<Tokenizer> tokenizer;
    try {
        tokenizer = load_tokenizer(directory);
    } catch (const MissingInputError&) {
        return nullptr;
    }
    if (tokenizer->id_limit() > spec.vocab_size) {
        throw DataError(directory.string() + ": the tokenizer has ids up to " +
                        std::to_string(tokenizer->id_limit() - 1) +
                        ", but the model's vocabulary (vocab_size) is " +
                        std::to_string(spec.vocab_size));
    }
    return tokenizer;
}

Device Device::open(const std::string& backend, std::size_t threads,
                    const comm::Communicator& world) {
    if (threads == 0) {
        threads = std::max<std::size_t>(
            1, available_processors() / static_cast<std::size_t>(world.local_size()));
    }
    Device device;
    device.pool = std::make_unique<ThreadPool>(threads);
    device.backend = kernels::make_backend(kernels::backend_from_name(backend), *device.pool,
                                           static_cast<std::size_t>(world.local_rank()));
    return device;
}

namespace {

/// Texts as the model reads them, tokenised once: a stream to cut windows from or, for a
/// classifier, single texts.
class SampleSource {
public:
    SampleSource(const std::vector<fs::path>& files, const ModelSpec& spec,
                 const Tokenizer* tokenizer, std::size_t length)
        : length_(length), is_classifier_(spec.head == HeadKind::classifier) {
        if (is_classifier_) {
            texts_ = read_texts(files, tokenizer, spec, length);
        } else {
            stream_ = read_token_stream(files, tokenizer, spec.vocab_size);
        }
    }

    [[nodiscard]] TokenSequences select(std::size_t count, double offset,
                                        const std::string& what) const {
        return is_classifier_ ? spread_sequences(texts_, count, offset, what)
                              : spread_windows(stream_, length_, count, offset, what);
    }

private:
    std::size_t length_;
    bool is_classifier_;
    TokenSequences texts_;
    std::vector<std::uint32_t> stream_;
};

}  // namespace

JobSamples make_samples(const JobConfig& job, const ModelSpec& spec, const Tokenizer* tokenizer) {
    const std::size_t length = std::min(job.calibration.max_seq_length, spec.max_positions);
    const std::size_t n_evaluated = job.search.num_evaluation_samples;
    const SampleSource calibration(job.calibration.data, spec, tokenizer, length);
    JobSamples samples;
    samples.calibration =
        calibration.select(job.calibration.num_calibration_samples, 0.0, "the calibration text");
    if (job.search.evaluation.empty()) {
        samples.evaluation = calibration.select(n_evaluated, 0.5, "the calibration text");
        return samples;
    }
    const SampleSource held_out(job.search.evaluation, spec, tokenizer, length);
    samples.evaluation = held_out.select(n_evaluated, 0.0, "the search's evaluation text");
    return samples;
}

void write_samples(const JobSamples& samples, const fs::path& file,
                   const std::string& fingerprint) {
    ArtifactWriter writer(file);
    writer.group("/", {{"fingerprint", fingerprint}});
    const auto write = [&](const std::string& group, const TokenSequences& sequences) {
        writer.group(group, {});
        const auto values = [&](const std::string& name, const std::vector<std::uint32_t>& from) {
            writer.dataset(group + "/" + name, DType::u32, {from.size()},
                           reinterpret_cast<const std::byte*>(from.data()));
        };
        values("ids", sequences.ids);
        values("lengths", sequences.lengths);
        if (!sequences.segments.empty()) {
            values("segments", sequences.segments);
        }
    };
    write("/calibration", samples.calibration);
    write("/evaluation", samples.evaluation);
    writer.commit();
}

JobSamples read_samples(const fs::path& file) {
    const ArtifactReader reader(file);
    const auto read = [&](const std::string& group) {
        const auto values = [&](const std::string& name) {
            std::vector<std::uint32_t> to(element_count(reader.info(group + "/" + name).shape));
            reader.read_into(group + "/" + name, reinterpret_cast<std::byte*>(to.data()),
                             4 * to.size());
            return to;
        };
        TokenSequences sequences{values("ids"), values("lengths"), {}};
        if (std::ranges::count(reader.children(group), "segments") > 0) {
            sequences.segments = values("segments");
        }
        return sequences;
    };
    return {read("/calibration"), read("/evaluation")};
}

std::unique_ptr<JobContext> JobContext::open(const JobConfig& job, comm::Communicator& world) {
    auto context = std::make_unique<JobContext>();
    context->job = job;
    context->run = RunDirectory(job.output);
    context->source = SourceModel::open(job.model, job.ignore);
    if (job.candidates.empty()) {
        const std::uint64_t parameters = context->source->spec.parameters();
        const std::uint64_t limit =
            job.budget.limit_bytes(context->source->weights.tensor_bytes(), parameters);
        context->job.candidates =
            default_candidates(8.0 * static_cast<double>(limit) / static_cast<double>(parameters));
    }
    context->settings = expand_candidates(context->job.candidates);
    context->world = &world;
    if (job.slice) {
        context->fused = std::make_shared<FusedModel>(*context->source);
    }
    context->device = Device::open(job.runtime.backend, job.runtime.threads, world);
    return context;
}

bool JobContext::changes_weights() const {
    return std::ranges::any_of(settings, [](const Setting& s) { return s != source_setting(); });
}

void JobContext::enter_sliced_model() {
    if (!job.slice || original) {
        return;
    }
    auto sliced = SourceModel::open(run.sliced(), {});
    original = std::move(source);
    source = std::move(sliced);
}

}  // namespace lathe
