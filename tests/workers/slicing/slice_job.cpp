#include "tests/workers/slicing/slice_job.hpp"

#include <filesystem>
#include <random>

#include <unistd.h>

#include "lib/checkpoint/safetensors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/half.hpp"
#include "workers/calibration/calibration.hpp"
#include "workers/evaluation/evaluation.hpp"
#include "workers/model/fused_weights.hpp"
#include "workers/model/side_files.hpp"
#include "workers/network/final_states.hpp"
#include "workers/network/head.hpp"
#include "workers/slicing/rotation.hpp"
#include "workers/slicing/sequential_rotation.hpp"
#include "workers/slicing/slicing.hpp"
#include "workers/slicing/stream_widths.hpp"

namespace lathe {

namespace fs = std::filesystem;

TokenSequences random_samples(const ModelSpec& spec, std::size_t count, std::size_t different) {
    std::mt19937 random(7);
    TokenSequences samples;
    for (std::size_t s = 0; s < count; ++s) {
        std::vector<std::uint32_t> ids(12 + s % 5);
        for (std::uint32_t& id : ids) {
            id = static_cast<std::uint32_t>(random() %
                                            (different == 0 ? spec.vocab_size : different));
        }
        samples.append(ids);
    }
    return samples;
}

namespace {

/// The model with its weights stored in fp32, so that no rounding of theirs hides an error.
void copy_in_float(const fs::path& from, const fs::path& to) {
    make_directories(to);
    copy_side_files(from, to);
    const SafetensorsCheckpoint checkpoint(from);
    std::vector<std::vector<std::byte>> storage;
    std::vector<TensorToWrite> tensors;
    for (const auto& [name, tensor] : checkpoint.tensors()) {
        std::vector<float> values(element_count(tensor.shape));
        to_float(tensor.bytes.data(), tensor.dtype, values);
        const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
        storage.emplace_back(bytes, bytes + 4 * values.size());
        tensors.push_back({name, DType::f32, tensor.shape, storage.back()});
    }
    write_safetensors(to / "model.safetensors", tensors);
}

}  // namespace

SliceJob::SliceJob(const std::string& model, const SliceConfig& slice, std::size_t different)
    : world_(comm::make_local_communicator()) {
    JobConfig job;
    job.output =
        fs::temp_directory_path() / ("lathe_slice_job_" + std::to_string(::getpid()) + "_" + model);
    job.model = job.output / "model";
    copy_in_float(fs::path(LATHE_SOURCE_DIR) / "tests/data/parity" / model, job.model);
    job.slice = slice;
    context_ = JobContext::open(job, *world_);
    for (const char* folder : {"calibration", "rotation/sweep_0", "sliced"}) {
        make_directories(job.output / folder);
    }
    samples_ = random_samples(context_->spec(), 24, different);
    write_samples({samples_, samples_}, context_->run.samples(), "samples");
}
SliceJob::~SliceJob() {
    fs::remove_all(context_->run.root());
}

std::vector<std::size_t> SliceJob::widths() const {
    return constant_widths(context_->given_model(), *context_->job.slice);
}

void SliceJob::rotate_dense() {
    Calibrator calibrator(*context_);
    const std::size_t last = context_->spec().n_blocks;
    for (std::size_t b = 0; b <= last; ++b) {
        CalibrationTask task;
        task.block = b;
        task.from = b == 0 ? -1 : 0;
        task.to = b == last ? -1 : 0;
        calibrator.run(task);
    }
    for (std::size_t b = 0; b <= last; ++b) {
        run_rotation(*context_, {b < last ? block_name(b) : "head", 0, "", {}});
    }
    if (context_->job.slice->is_global()) {
        run_rotation(*context_, {"global", 0, "", {}});
    }
}

void SliceJob::rotate_in_order() {
    const std::vector<std::size_t> widths = this->widths();
    SequentialRotator rotator(*context_, {0, widths, "", ""});
    for (std::size_t b = 0; b <= context_->spec().n_blocks; ++b) {
        rotator.run({b, widths, "", ""});
    }
}

std::vector<float> SliceJob::slice() {
    const std::vector<std::size_t> widths = this->widths();
    run_slicing(*context_, {std::nullopt, widths});
    for (std::size_t b = 0; b < context_->spec().n_blocks; ++b) {
        run_slicing(*context_, {b, widths});
    }
    write_sliced_frame(*context_, widths);
    sliced_ = context_->of_compressed_model();
    const SourceWeights weights(*sliced_->source);
    return logits(sliced_->spec(), weights);
}

std::vector<float> SliceJob::logits(const ModelSpec& spec, const WeightSource& weights) {
    const kernels::Backend& backend = context_->backend();
    const FinalStates states = final_states(spec, weights, backend, samples_);
    Head head(spec, weights, backend);
    std::vector<float> all;
    for (std::size_t row = 0; row < ForwardPass::head_rows(spec, samples_); ++row) {
        const MatrixView<const float> logits = head.logits(states, row, 1);
        all.insert(all.end(), logits.data, logits.data + logits.cols);
    }
    return all;
}

std::vector<float> SliceJob::given_logits() {
    const SourceModel& given = context_->given_model();
    return logits(given.spec, SourceWeights(given));
}

}  // namespace lathe
