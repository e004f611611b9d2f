#pragma once

#include <memory>
#include <optional>
#include <string>

#include "kernels/backend.hpp"
#include "lib/checkpoint/safetensors.hpp"
#include "lib/comm/communicator.hpp"
#include "lib/config/job_config.hpp"
#include "lib/core/parallel.hpp"
#include "lib/job/candidate.hpp"
#include "lib/job/run_directory.hpp"
#include "lib/model/model_spec.hpp"
#include "lib/tokenizer/tokenizer.hpp"
#include "workers/token_data.hpp"

namespace lathe {

struct FusedModel;

/// What is known of a model without its weights at hand: enough to say what it will take.
struct ModelOutline {
    std::filesystem::path directory;
    ModelSpec spec;
    std::vector<DType> dtypes;  ///< of each tensor as stored

    [[nodiscard]] DType dtype(std::size_t tensor) const { return dtypes.at(tensor); }
};

/// A Hugging Face directory, opened: headers read and matched against the model it describes.
struct SourceModel : ModelOutline {
    SafetensorsCheckpoint weights;
    std::vector<PassedOver> passed_over;  ///< tensors that the model does not need

    /// @throws MissingInputError, DataError
    static std::unique_ptr<SourceModel> open(const std::filesystem::path& directory,
                                             const std::vector<std::string>& ignore);
};

/// The model's tokenizer, checked against its vocabulary; none if the directory has none.
/// @throws DataError  if it produces ids the model does not have
[[nodiscard]] std::unique_ptr<Tokenizer> open_tokenizer(const std::filesystem::path& directory,
                                                        const ModelSpec& spec);

/// The device a rank computes with.
struct Device {
    std::unique_ptr<ThreadPool> pool;
    std::unique_ptr<kernels::Backend> backend;

    /// `threads` = 0: this node's processors shared out over its ranks.
    static Device open(const std::string& backend, std::size_t threads,
                       const comm::Communicator& world);
};

/// What the CPU of this process computes with, BLAS included: "avx512, BLAS SkylakeX". Processes
/// that say the same get the same bits.
[[nodiscard]] std::string instruction_set();

/// Makes it the one of this name, `runtime.instruction_set`, as far as a running process can: for
/// BLAS it must have been started with the environment variable OPENBLAS_CORETYPE at the value
/// returned. Empty: as it is.
/// @throws UsageError  if this processor does not have it
std::string use_instruction_set(const std::string& name);

/// The samples a job works on; made by rank 0 from texts, read by all ranks from one file. For a
/// language model windows of equal length, for a classifier single texts.
struct JobSamples {
    TokenSequences calibration;
    TokenSequences evaluation;  ///< of the search
};

/// @throws MissingInputError, DataError  text absent, malformed or too short
[[nodiscard]] JobSamples make_samples(const JobConfig& job, const ModelSpec& spec,
                                      const Tokenizer* tokenizer);
void write_samples(const JobSamples& samples, const std::filesystem::path& file,
                   const std::string& fingerprint);
[[nodiscard]] JobSamples read_samples(const std::filesystem::path& file);

/// Everything a rank holds while it works on a job.
struct JobContext {
    JobConfig job;
    RunDirectory run;
    std::unique_ptr<SourceModel> source;  ///< what is compressed; see enter_sliced_model()
    std::vector<Setting> settings;        ///< of all candidates
    Device device;
    comm::Communicator* world = nullptr;
    std::shared_ptr<const FusedModel> fused;  ///< of a job that slices: what is calibrated
    std::unique_ptr<SourceModel> original;    ///< once `source` is the sliced model

    /// @throws any Error of what it opens
    static std::unique_ptr<JobContext> open(const JobConfig& job, comm::Communicator& world);

    /// Of a job that slices, once the sliced model is there: from now on it is `source`, and the
    /// model the job began with is given_model(). Nothing for other jobs, or when done already.
    /// @throws MissingInputError, DataError
    void enter_sliced_model();

    /// Whether any candidate changes a weight: else nobody asks for the statistics of linear
    /// inputs.
    [[nodiscard]] bool changes_weights() const;

    /// Whether forward passes that statistics are taken from multiply in bfloat16.
    [[nodiscard]] bool calibrates_in_bf16() const {
        return job.calibration.precision == CalibrationConfig::Precision::bf16;
    }

    /// The model the job was given: the measure of budgets and evaluations.
    [[nodiscard]] const SourceModel& given_model() const { return original ? *original : *source; }
    [[nodiscard]] const ModelSpec& spec() const { return source->spec; }
    [[nodiscard]] const kernels::Backend& backend() const { return *device.backend; }
};

}  // namespace lathe
