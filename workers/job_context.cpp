#include "workers/job_context.hpp"

#include <algorithm>
#include <regex>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "methods/method.hpp"

namespace lathe {
namespace fs = std::filesystem;

std::unique_ptr<SourceModel> SourceModel::open(const fs::path& directory,
                                               const std::vector<std::string>& ignore) {
    std::error_code error;
    if (!fs::is_directory(directory, error)) {
        throw MissingInputError("no such model directory: " + directory.string());
    }
    const fs::path config = directory / "config.json";
    ModelSpec spec = read_model_spec(read_file(config), config.string());
    SafetensorsCheckpoint weights(directory);
    std::vector<FoundTensor> found;
    for (const auto& [name, tensor] : weights.tensors()) {
        found.push_back({name, tensor.dtype, tensor.shape});
    }
    match_tensors(spec, found, ignore, directory.string());
    return std::make_unique<SourceModel>(
        SourceModel{directory, std::move(spec), std::move(weights)});
}

DType SourceModel::dtype(std::size_t index) const {
    return weights.at(spec.tensors.at(index).name).dtype;
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
    device.backend = kernels::make_backend(kernels::backend_from_name(backend), *device.pool);
    return device;
}

JobSamples make_samples(const JobConfig& job, const ModelSpec& spec, const Tokenizer* tokenizer) {
    const CalibrationConfig& calibration = job.calibration;
    const std::size_t length = std::min(calibration.max_seq_length, spec.max_positions);
    const auto stream = read_token_stream(calibration.data, tokenizer, spec.vocab_size);
    JobSamples samples;
    samples.calibration = spread_windows(stream, length, calibration.num_calibration_samples, 0.0,
                                         "the calibration text");
    if (job.search.evaluation.empty()) {
        samples.evaluation = spread_windows(stream, length, job.search.num_evaluation_samples, 0.5,
                                            "the calibration text");
        return samples;
    }
    const auto held_out = read_token_stream(job.search.evaluation, tokenizer, spec.vocab_size);
    samples.evaluation = spread_windows(held_out, length, job.search.num_evaluation_samples, 0.0,
                                        "the search's evaluation text");
    return samples;
}

void write_samples(const JobSamples& samples, const fs::path& file,
                   const std::string& fingerprint) {
    ArtifactWriter writer(file);
    writer.group("/", {{"fingerprint", fingerprint}});
    const auto write = [&](const std::string& name, const TokenWindows& windows) {
        writer.dataset(name, DType::u32, {windows.count(), windows.length},
                       reinterpret_cast<const std::byte*>(windows.ids.data()));
    };
    write("/calibration", samples.calibration);
    write("/evaluation", samples.evaluation);
    writer.commit();
}

JobSamples read_samples(const fs::path& file) {
    const ArtifactReader reader(file);
    const auto read = [&](const std::string& name) {
        const DatasetInfo info = reader.info(name);
        TokenWindows windows{info.shape.at(1), {}};
        windows.ids.resize(element_count(info.shape));
        reader.read_into(name, reinterpret_cast<std::byte*>(windows.ids.data()),
                         4 * windows.ids.size());
        return windows;
    };
    return {read("/calibration"), read("/evaluation")};
}

std::unique_ptr<JobContext> JobContext::open(const JobConfig& job, comm::Communicator& world) {
    auto context = std::make_unique<JobContext>(JobContext{job,
                                                           RunDirectory(job.output),
                                                           SourceModel::open(job.model, job.ignore),
                                                           expand_candidates(job.candidates),
                                                           {},
                                                           &world});
    context->device = Device::open(job.runtime.backend, job.runtime.threads, world);
    return context;
}

bool is_ignored(const ModelSpec& spec, const UnitSpec& unit,
                const std::vector<std::string>& ignore) {
    const auto matches = [](const std::string& pattern, const std::string& name) {
        return pattern.starts_with("re:") ? std::regex_match(name, std::regex(pattern.substr(3)))
                                          : pattern == name;
    };
    return std::ranges::any_of(ignore, [&](const std::string& pattern) {
        return matches(pattern, unit.name) || std::ranges::any_of(unit.tensors, [&](std::size_t t) {
                   return matches(pattern, spec.tensors[t].name);
               });
    });
}

}  // namespace lathe
