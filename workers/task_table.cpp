#include "workers/task_table.hpp"

#include <optional>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "workers/calibration.hpp"
#include "workers/compressed_checkpoint.hpp"
#include "workers/compression.hpp"
#include "workers/cut_effect.hpp"
#include "workers/evaluation.hpp"
#include "workers/hf_export.hpp"
#include "workers/output_gradients.hpp"
#include "workers/refinement.hpp"
#include "workers/rotation.hpp"
#include "workers/sample_share.hpp"
#include "workers/scoring.hpp"
#include "workers/sequential_rotation.hpp"
#include "workers/slice_refit.hpp"
#include "workers/slicing.hpp"
#include "workers/variants.hpp"

namespace lathe {

struct TaskTable::State {
    comm::Communicator& world;
    std::function<JobConfig()> load_job;
    RuntimeConfig runtime;
    std::unique_ptr<JobContext> context;
    std::unique_ptr<Calibrator> calibrator;
    std::unique_ptr<SequentialRotator> rotator;
    std::unique_ptr<SliceRefitter> refitter;
    std::unique_ptr<Refiner> refiner;
    std::optional<Device> device;  ///< for tasks outside a job

    JobContext& job() {
        if (!context) {
            context = JobContext::open(load_job(), world);
        }
        return *context;
    }
    /// Where stages work on the sliced model, if the job slices.
    JobContext& job_after_slicing() {
        job().enter_sliced_model();
        return *context;
    }
    const kernels::Backend& backend() {
        if (!device) {
            device = Device::open(runtime.backend, runtime.threads, world);
        }
        return *device->backend;
    }
};

TaskTable::TaskTable(comm::Communicator& world, std::function<JobConfig()> load_job,
                     RuntimeConfig runtime)
    : state_(std::make_unique<State>(
          State{world, std::move(load_job), std::move(runtime), {}, {}, {}, {}, {}, {}})) {}

TaskTable::~TaskTable() = default;

std::string TaskTable::run(const Task& task) {
    if (task.rank != all_ranks) {
        return run_stage(task);
    }
    return with_all_ranks(state_->world, [&] { return run_stage(task); });
}

std::string TaskTable::run_stage(const Task& task) {
    State& s = *state_;
    if (task.stage == stage::calibrate) {
        if (!s.calibrator) {
            s.calibrator = std::make_unique<Calibrator>(s.job());
        }
        s.calibrator->run(calibration_task_from_json(task.arguments));
        return "";
    }
    if (task.stage == stage::rotate) {
        run_rotation(s.job(), rotation_task_from_json(task.arguments));
        return "";
    }
    if (task.stage == stage::rotate_in_order) {
        if (!s.rotator) {
            s.rotator = std::make_unique<SequentialRotator>(s.job());
        }
        s.rotator->run(sequential_task_from_json(task.arguments));
        return "";
    }
    if (task.stage == stage::cut_effect) {
        const auto effect = cut_effect_task_from_json(task.arguments);
        return nlohmann::json(run_cut_effect(s.job(), effect)).dump();
    }
    if (task.stage == stage::refit) {
        s.rotator.reset();  // and its stream
        if (!s.refitter) {
            s.refitter = std::make_unique<SliceRefitter>(s.job());
        }
        s.refitter->run(refit_task_from_json(task.arguments));
        return "";
    }
    if (task.stage == stage::slice) {
        s.rotator.reset();
        s.refitter.reset();
        run_slicing(s.job(), slice_task_from_json(task.arguments));
        return "";
    }
    if (task.stage == stage::compress) {
        run_compression(s.job_after_slicing(), compression_task_from_json(task.arguments));
        return "";
    }
    if (task.stage == stage::gradients) {
        run_gradients(s.job_after_slicing(), gradient_task_from_json(task.arguments));
        return "";
    }
    if (task.stage == stage::reference) {
        run_reference(s.job_after_slicing(), reference_task_from_json(task.arguments));
        return "";
    }
    if (task.stage == stage::variants) {
        return nlohmann::json(
                   run_variants(s.job_after_slicing(), variant_task_from_json(task.arguments)))
            .dump();
    }
    if (task.stage == stage::refine) {
        if (!s.refiner) {
            s.refiner = std::make_unique<Refiner>(s.job_after_slicing());
        }
        s.refiner->run(refinement_task_from_json(task.arguments));
        return "";
    }
    if (task.stage == stage::assemble) {
        s.refiner.reset();  // and its streams
        run_assembly(s.job_after_slicing(), assembly_task_from_json(task.arguments));
        return "";
    }
    if (task.stage == stage::evaluate) {
        const EvaluationTask evaluation = evaluation_task_from_json(task.arguments);
        return to_json(evaluation.model.empty() ? run_evaluation(s.job_after_slicing(), evaluation)
                                                : run_evaluation(s.backend(), evaluation));
    }
    if (task.stage == stage::score) {
        return to_json(run_scoring(s.backend(), scoring_task_from_json(task.arguments)));
    }
    if (task.stage == stage::export_hf) {
        run_export(export_task_from_json(task.arguments));
        return "";
    }
    throw InternalError("no handler for stage '" + task.stage + "'");
}

}  // namespace lathe
