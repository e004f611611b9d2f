#pragma once

#include <memory>
#include <vector>

#include "kernels/contract/backend.hpp"
#include "lib/comm/communicator.hpp"
#include "lib/config/job_config.hpp"
#include "lib/job/candidate.hpp"
#include "lib/job/run_directory.hpp"
#include "workers/job/device.hpp"
#include "workers/job/job_samples.hpp"
#include "workers/model/fused_weights.hpp"
#include "workers/model/source_model.hpp"

namespace lathe {

/// A job as a rank has it open, for tasks on one of its models: the one it was given or, in a job
/// that slices it or puts its neurons in order, the one that is compressed, which has a context of
/// its own. Nothing in a context changes; the two share the device and the given model.
struct JobContext {
    JobConfig job;
    RunDirectory run;
    std::vector<Setting> settings;  ///< of all candidates
    std::shared_ptr<const Device> device;
    comm::Communicator* world = nullptr;
    /// The model the job was given: the measure of budgets and evaluations.
    std::shared_ptr<const SourceModel> given;
    /// Of a job that slices: `given` with its norms fused, which is what is calibrated and cut.
    std::shared_ptr<const FusedModel> fused;
    /// The model that this context's tasks work on.
    std::shared_ptr<const SourceModel> source;

    /// The context of the given model. @throws any Error of what it opens
    static std::unique_ptr<JobContext> open(const JobConfig& job, comm::Communicator& world);

    /// The context of RunDirectory::sliced() if the job slices, else this one once more.
    /// @throws MissingInputError, DataError
    [[nodiscard]] std::unique_ptr<JobContext> of_sliced_model() const;

    /// The context of the model that is compressed: the same and, if the job wants that, with its
    /// neurons in order. @throws MissingInputError, DataError
    [[nodiscard]] std::unique_ptr<JobContext> of_compressed_model() const;

    /// Whether `source` is the sliced model.
    [[nodiscard]] bool is_sliced() const { return job.slice && source != given; }

    /// Whether the job puts the neurons of feed-forward layers in order before it compresses them.
    [[nodiscard]] bool orders_neurons() const;

    /// Whether it takes calibration or compression to know how many bytes some candidates take.
    [[nodiscard]] bool has_open_bytes() const;

    /// Whether any candidate changes a weight.
    [[nodiscard]] bool changes_weights() const;

    /// Whether anybody asks for the statistics of linear inputs.
    [[nodiscard]] bool gathers_inputs() const {
        return !job.slice || changes_weights() || orders_neurons();
    }

    /// Whether forward passes that statistics are taken from multiply in bfloat16.
    [[nodiscard]] bool calibrates_in_bf16() const {
        return job.calibration.precision == CalibrationConfig::Precision::bf16;
    }

    /// Whether tokens count in the statistics of linear inputs by what the loss makes of them.
    [[nodiscard]] bool weighs_tokens() const {
        return gathers_inputs() && job.calibration.weighting == CalibrationConfig::Weighting::loss;
    }

    [[nodiscard]] const SourceModel& given_model() const { return *given; }
    [[nodiscard]] const ModelSpec& spec() const { return source->spec; }
    [[nodiscard]] const kernels::Backend& backend() const { return *device->backend; }

private:
    /// Anew, the sliced model or the given one.
    [[nodiscard]] std::unique_ptr<SourceModel> open_model() const;
};

}  // namespace lathe
