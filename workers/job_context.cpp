#include "workers/job_context.hpp"

#include <algorithm>

#include "kernels/cpu/blas.hpp"
#include "kernels/cpu/vector_kernels.hpp"
#include "lib/checkpoint/artifact.hpp"
#include "lib/config/default_candidates.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/model/stream.hpp"
#include "methods/method.hpp"
#include "workers/compression.hpp"
#include "workers/fused_weights.hpp"

namespace lathe {
namespace fs = std::filesystem;

std::unique_ptr<SourceModel> SourceModel::open(const fs::path& directory,
                                               const std::vector<std::string>& ignore) {
    std::error_code error;
    if (!fs::is_directory(directory, error)) {
        throw MissingInputError("no such model directory: " + directory.string());
    }
    ModelSpec spec = read_model_directory(directory);
    SafetensorsCheckpoint weights(directory);
    std::vector<FoundTensor> found;
    for (const auto& [name, tensor] : weights.tensors()) {
        found.push_back({name, tensor.dtype, tensor.shape});
    }
    auto passed_over = match_tensors(spec, found, ignore, directory.string());
    std::vector<DType> dtypes;
    for (const TensorSpec& tensor : spec.tensors) {
        dtypes.push_back(weights.at(tensor.name).dtype);
    }
    return std::make_unique<SourceModel>(
        SourceModel{{directory, std::move(spec), std::move(dtypes)},
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

std::string instruction_set() {
    const bool is_first_of_all = kernels::runnable_vector_kernels().size() == 1;
    // Loops that the compiler translates for several instruction sets see what the processor has.
    return std::string(kernels::vector_kernels().name) + (is_first_of_all ? " alone" : "") +
           ", BLAS " + kernels::blas::core_name();
}

std::string use_instruction_set(const std::string& name) {
    kernels::use_vector_kernels(name);
    const std::string core(kernels::blas::core_for(name));
    return core == kernels::blas::core_name() ? "" : core;
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
    static_cast<void>(use_instruction_set(job.runtime.instruction_set));
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
