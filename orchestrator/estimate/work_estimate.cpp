#include "orchestrator/estimate/work_estimate.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "lib/model/stream.hpp"
#include "orchestrator/estimate/memory_limit.hpp"
#include "orchestrator/estimate/model_sums.hpp"
#include "orchestrator/serving.hpp"
#include "orchestrator/stages/task_lists.hpp"
#include "workers/calibration/output_gradients.hpp"
#include "workers/candidates/compression.hpp"
#include "workers/task_table.hpp"

namespace lathe {

namespace {

/// FLOP/s of one linear layer of middling size on this rank.
double measure_speed(const kernels::Backend& backend) {
    constexpr std::size_t n = 512;
    const auto x = backend.allocate<float>(n * n);
    const auto w = backend.allocate<float>(n * n);
    const auto y = backend.allocate<float>(n * n);
    double best = std::numeric_limits<double>::infinity();
    for (int repeat = 0; repeat < 3; ++repeat) {
        const auto start = std::chrono::steady_clock::now();
        backend.linear(x.matrix(n, n), w.matrix(n, n), {}, y.matrix(n, n));
        (void)backend.to_host(y.matrix(1, 1));  // until it is done, on a device
        best = std::min(
            best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    return 2.0 * n * n * n / best;
}

/// A symmetric eigenproblem with all vectors: reduction, divide and conquer, back-transformation.
double eigen_flops(double d) {
    return 9.0 * d * d * d;
}

/// What slicing adds: Gram matrices of the stream in fp64, eigenproblems, products with the bases.
void add_slice_stages(const JobContext& context, double tokens, double forward, const auto& add) {
    const ModelSpec& spec = context.spec();
    const SliceConfig& slice = *context.job.slice;
    const auto d = static_cast<double>(spec.hidden_size);
    const auto boundaries = static_cast<double>(n_boundaries(spec));
    const auto sweeps = static_cast<double>(slice.touch_up + 1);
    const double grams = sweeps * boundaries * tokens * 2.0 * d * d;  // half of it, in fp64
    const bool global = slice.is_global();
    const double eigen = sweeps * (global ? 1.0 : boundaries) * eigen_flops(d);
    if (slice.order == SliceConfig::Order::sequential) {
        add("rotate", spec.n_blocks + 1, forward + grams + eigen);
    } else {
        add("calibrate", (spec.n_blocks + 1) * (slice.touch_up + 1), sweeps * forward + grams);
        add("rotate", (global ? 1 : spec.n_blocks) * (slice.touch_up + 1), eigen);
    }
    if (slice.refit) {
        // The source once, the sliced model twice; sums in fp64 about as long as a pass.
        add("refit", spec.n_blocks + 1, 4.0 * forward + grams);
    }
    add("slice", spec.n_blocks + 1, 4.0 * d * static_cast<double>(spec.parameters()));
}

/// Operations of the solvers over all units.
struct SolverWork {
    double all = 0.0;
    double costliest = 0.0;  ///< each unit once, under its costliest setting
    std::size_t tasks = 0;
};

SolverWork solver_work(const JobContext& context, const ModelOutline& model) {
    SolverWork work;
    std::vector<std::vector<Setting>> settings;
    for (std::size_t u = 0; u < model.spec.units.size(); ++u) {
        settings.push_back(settings_of_unit(context, model, u));
    }
    const auto pieces = compression_pieces(model, settings, context.world->size(),
                                           memory_limit_of(context.job, *context.world).bytes);
    for (std::size_t u = 0; u < model.spec.units.size(); ++u) {
        work.tasks += n_compression_tasks(settings[u], pieces[u]);
        double most = 0.0;
        for (const Setting& setting : settings[u]) {
            work.all += predicted_flops(model, u, setting);
            most = std::max(most, predicted_flops(model, u, setting));
        }
        work.costliest += most;
    }
    return work;
}

}  // namespace

std::vector<Preflight::Stage> estimate_stages(const JobContext& context, const ModelOutline& model,
                                              const JobQuestions& questions) {
    const ModelSpec& spec = context.spec();
    const CalibrationConfig& calibration = context.job.calibration;
    const auto length =
        static_cast<double>(std::min(calibration.max_seq_length, spec.max_positions));
    const double tokens = length * static_cast<double>(calibration.num_calibration_samples);
    const double evaluated =
        length * static_cast<double>(context.job.search.num_evaluation_samples);
    const SolverWork solvers = solver_work(context, model);
    const double grams = tokens * (static_cast<double>(spec.n_blocks) * gram_elements(spec) +
                                   static_cast<double>(spec.hidden_size * spec.hidden_size));
    const double plans = 1.0 + static_cast<double>(context.settings.size());
    const double evaluation = evaluated * plans * forward_flops(model.spec, length, true);
    const double speed =
        measure_speed(context.backend()) * static_cast<double>(context.world->size());
    std::vector<Preflight::Stage> stages;
    const auto add = [&](const char* name, std::size_t tasks, double flops) {
        stages.push_back({name, tasks, flops, flops / speed});
    };
    // Forwards, each block once more, and backwards by inputs alone: four times a pass.
    const auto go_back = [&](const char* name, const ModelSpec& walked, double part) {
        const double batch = std::max(length, static_cast<double>(tokens_per_batch));
        add(name, static_cast<std::size_t>(std::ceil(part / batch)),
            part * 4.0 * forward_flops(walked, length, true));
    };
    const double forward = tokens * forward_flops(spec, length, false) + grams;
    if (context.weighs_tokens()) {
        go_back(stage::weigh_tokens, spec, tokens);
    }
    if (context.job.slice) {
        add_slice_stages(context, tokens, forward, add);
    } else {
        add("calibrate", spec.n_blocks + 1, forward);
    }
    if (context.orders_neurons()) {
        const auto n = static_cast<double>(spec.intermediate_size);
        const bool removes =
            context.job.ffsplit && context.job.ffsplit->score == FfsplitConfig::Score::removal;
        // By a number no more than a sort.
        const double block =
            removes ? 4.0 * n * n * (n + static_cast<double>(spec.hidden_size)) : n;
        add(stage::order_neurons, spec.n_blocks, static_cast<double>(spec.n_blocks) * block);
    }
    add("compress", solvers.tasks, solvers.all);
    if (context.job.search.scores != SearchConfig::Scores::divergence) {
        go_back(stage::gradients, model.spec,
                std::min(tokens, static_cast<double>(gradient_tokens)));
    }
    add("search", static_cast<std::size_t>(plans), evaluation);
    if (context.job.refine != RefineMode::none) {
        // Two streams, each three times through a step; Gram matrices of two inputs. On one rank.
        const double passes = 6.0 * forward + 2.0 * grams + solvers.costliest;
        add("refine", spec.n_blocks + 1, passes * static_cast<double>(context.world->size()));
    }
    add("assemble", spec.n_blocks + 1, static_cast<double>(spec.parameters()));
    // Of source and checkpoint.
    add("evaluate", questions.n_chunks(),
        2.0 * static_cast<double>(questions.n_tokens()) * forward_flops(spec, length, true));
    return stages;
}

}  // namespace lathe
