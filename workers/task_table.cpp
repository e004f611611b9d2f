#include "workers/task_table.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "workers/calibration/calibration.hpp"
#include "workers/calibration/output_gradients.hpp"
#include "workers/calibration/token_weights.hpp"
#include "workers/candidates/compression.hpp"
#include "workers/candidates/refinement.hpp"
#include "workers/candidates/unit_factor.hpp"
#include "workers/checkpoint/assembly.hpp"
#include "workers/evaluation/evaluation.hpp"
#include "workers/evaluation/scoring.hpp"
#include "workers/evaluation/variants.hpp"
#include "workers/exports/export_check.hpp"
#include "workers/exports/export_format.hpp"
#include "workers/slicing/cut_effect.hpp"
#include "workers/slicing/sequential_rotation.hpp"
#include "workers/slicing/slice_refit.hpp"
#include "workers/slicing/slicing.hpp"
#include "workers/statistics/neuron_ranking.hpp"

namespace lathe {
namespace {

/// What a task works on.
enum class Model {
    given,       ///< the model the job was given; of a job that slices, with its norms fused
    compressed,  ///< the one that is compressed: sliced, its neurons in order, or both
    named,       ///< a directory that the task itself names, outside any job
};

using Memory = std::unique_ptr<StageMemory>;

/// Of one kind of tasks: the model, and what is done. One of the two functions is set. `memory` is
/// the stage's own: what one task leaves there the next one finds.
struct Row {
    const char* stage;
    Model model;
    std::string (*in_job)(const JobContext&, const std::string& arguments, Memory& memory);
    std::string (*outside)(const kernels::Backend&, const std::string& arguments) = nullptr;
};

/// A task that leaves nothing in memory. Its answer is JSON, or empty.
template <auto run, auto parse>
constexpr auto alone = [](const JobContext& context, const std::string& arguments, Memory&) {
    if constexpr (std::is_void_v<decltype(run(context, parse(arguments)))>) {
        run(context, parse(arguments));
        return std::string();
    } else {
        return nlohmann::json(run(context, parse(arguments))).dump();
    }
};

/// A task of a chain, which begins anew where the one in memory does not lead to the task.
template <class ChainOfTask, auto parse>
constexpr auto chained =
    [](const JobContext& context, const std::string& arguments, Memory& memory) {
        const auto task = parse(arguments);
        auto* chain = static_cast<ChainOfTask*>(memory.get());
        if (chain == nullptr || !chain->leads_to(task)) {
            memory.reset();  // before memory for another is asked for
            memory = std::make_unique<ChainOfTask>(context, task);
            chain = static_cast<ChainOfTask*>(memory.get());
        }
        chain->run(task);
        return std::string();
    };

std::string calibrate(const JobContext& context, const std::string& arguments, Memory& memory) {
    if (!memory) {
        memory = std::make_unique<Calibrator>(context);
    }
    static_cast<Calibrator&>(*memory).run(calibration_task_from_json(arguments));
    return "";
}

std::string evaluate_in_job(const JobContext& context, const std::string& arguments, Memory&) {
    return to_json(run_evaluation(context, evaluation_task_from_json(arguments)));
}

std::string evaluate(const kernels::Backend& backend, const std::string& arguments) {
    return to_json(run_evaluation(backend, evaluation_task_from_json(arguments)));
}

std::string score(const kernels::Backend& backend, const std::string& arguments) {
    return to_json(run_scoring(backend, scoring_task_from_json(arguments)));
}

std::string export_piece(const kernels::Backend& /*backend*/, const std::string& arguments) {
    run_export(export_task_from_json(arguments));
    return "";
}

std::string check_export(const kernels::Backend& /*backend*/, const std::string& arguments) {
    return nlohmann::json(run_export_check(export_check_task_from_json(arguments))).dump();
}

constexpr std::array table{
    Row{stage::weigh_tokens, Model::given, alone<run_token_weights, gradient_task_from_json>},
    Row{stage::calibrate, Model::given, calibrate},
    Row{stage::rotate, Model::given, alone<run_rotation, rotation_task_from_json>},
    Row{stage::rotate_in_order, Model::given,
        chained<SequentialRotator, sequential_task_from_json>},
    Row{stage::cut_effect, Model::given, alone<run_cut_effect, cut_effect_task_from_json>},
    Row{stage::refit, Model::given, chained<SliceRefitter, refit_task_from_json>},
    Row{stage::slice, Model::given, alone<run_slicing, slice_task_from_json>},
    Row{stage::order_neurons, Model::given, alone<run_neuron_ranking, neuron_task_from_json>},
    Row{stage::factor, Model::compressed, alone<run_factor, factor_task_from_json>},
    Row{stage::compress, Model::compressed, alone<run_compression, compression_task_from_json>},
    Row{stage::gradients, Model::compressed, alone<run_gradients, gradient_task_from_json>},
    Row{stage::reference, Model::compressed, alone<run_reference, reference_task_from_json>},
    Row{stage::variants, Model::compressed, alone<run_variants, variant_task_from_json>},
    Row{stage::refine, Model::compressed, chained<Refiner, refinement_task_from_json>},
    Row{stage::assemble, Model::compressed, alone<run_assembly, assembly_task_from_json>},
    Row{stage::evaluate_plan, Model::compressed, evaluate_in_job},
    Row{stage::evaluate, Model::named, nullptr, evaluate},
    Row{stage::score, Model::named, nullptr, score},
    Row{stage::export_piece, Model::named, nullptr, export_piece},
    Row{stage::check_export, Model::named, nullptr, check_export},
};

const Row& row_of(const std::string& stage) {
    const auto* const row =
        std::ranges::find_if(table, [&](const Row& each) { return each.stage == stage; });
    if (row == table.end()) {
        throw InternalError("no handler for stage '" + stage + "'");
    }
    return *row;
}

}  // namespace

struct TaskTable::State {
    comm::Communicator& world;
    std::function<JobConfig()> load_job;
    RuntimeConfig runtime;
    std::unique_ptr<const JobContext> given;
    std::unique_ptr<const JobContext> compressed;
    std::optional<Device> device;  ///< for tasks outside a job
    const Row* row = nullptr;      ///< whose stage `memory` is of
    Memory memory;

    const JobContext& context(Model model) {
        if (!given) {
            given = JobContext::open(load_job(), world);
        }
        if (model == Model::given) {
            return *given;
        }
        if (!compressed) {
            compressed = given->of_compressed_model();
        }
        return *compressed;
    }
    const kernels::Backend& backend() {
        if (!device) {
            device = Device::open(runtime.backend, runtime.threads, world);
        }
        return *device->backend;
    }
    std::string run(const Row& next, const std::string& arguments) {
        if (row != &next) {
            memory.reset();
            row = &next;
        }
        if (next.model == Model::named) {
            return next.outside(backend(), arguments);
        }
        std::string answer = next.in_job(context(next.model), arguments, memory);
        if (memory && memory->has_ended()) {
            memory.reset();
        }
        return answer;
    }
};

TaskTable::TaskTable(comm::Communicator& world, std::function<JobConfig()> load_job,
                     RuntimeConfig runtime)
    : state_(std::make_unique<State>(
          State{world, std::move(load_job), std::move(runtime), {}, {}, {}, nullptr, {}})) {}

TaskTable::~TaskTable() = default;

std::string TaskTable::run(const Task& task) {
    const Row& row = row_of(task.stage);
    if (task.rank != all_ranks) {
        return state_->run(row, task.arguments);
    }
    return with_all_ranks(state_->world, [&] { return state_->run(row, task.arguments); });
}

}  // namespace lathe
