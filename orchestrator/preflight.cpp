#include "orchestrator/preflight.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>

#include "lib/core/errors.hpp"
#include "lib/job/kernel_times.hpp"
#include "lib/model/name_patterns.hpp"
#include "lib/model/stream.hpp"
#include "orchestrator/container_size.hpp"
#include "workers/calibration/output_gradients.hpp"
#include "workers/candidates/compression.hpp"
#include "workers/network/forward.hpp"
#include "workers/slicing/sliced_model.hpp"
#include "workers/slicing/stream_widths.hpp"

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

/// The distinct linear inputs of the model: their widths.
std::vector<std::pair<Signal, std::size_t>> block_signals(const ModelSpec& spec) {
    std::vector<std::pair<Signal, std::size_t>> signals;
    for (const UnitSpec& unit : spec.units) {
        if (unit.block != std::optional<std::size_t>(0)) {
            continue;
        }
        const std::size_t width = spec.tensors[unit.tensors.front()].shape.back();
        const bool seen = std::ranges::any_of(
            signals, [&](const auto& signal) { return signal.first == unit.input; });
        if (!seen) {
            signals.emplace_back(unit.input, width);
        }
    }
    return signals;
}

double block_weights(const ModelSpec& spec) {
    double n = 0.0;
    for (const TensorSpec& tensor : spec.tensors) {
        if (tensor.block == std::optional<std::size_t>(0)) {
            n += static_cast<double>(element_count(tensor.shape));
        }
    }
    return n;
}

double gram_elements(const ModelSpec& spec) {
    double n = 0.0;
    for (const auto& [signal, width] : block_signals(spec)) {
        n += static_cast<double>(width) * static_cast<double>(width);
    }
    return n;
}

/// FLOP of one token through the blocks and, if wanted, the head.
double forward_flops(const ModelSpec& spec, double length, bool with_head) {
    const double attention =
        2.0 * length * static_cast<double>(spec.n_heads * spec.head_dim);  // causal: half of 4
    const double blocks =
        static_cast<double>(spec.n_blocks) * (2.0 * block_weights(spec) + attention);
    const double head =
        2.0 * static_cast<double>(spec.head_width()) * static_cast<double>(spec.n_outputs());
    return blocks + (with_head ? head : 0.0);
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

void add_stages(const JobContext& context, const ModelOutline& model, const JobQuestions& questions,
                Preflight& result) {
    const ModelSpec& spec = context.spec();
    const CalibrationConfig& calibration = context.job.calibration;
    const auto length =
        static_cast<double>(std::min(calibration.max_seq_length, spec.max_positions));
    const double tokens = length * static_cast<double>(calibration.num_calibration_samples);
    const double evaluated =
        length * static_cast<double>(context.job.search.num_evaluation_samples);
    double solve = 0.0;
    double solve_again = 0.0;  // each unit once, under its costliest setting
    for (std::size_t u = 0; u < model.spec.units.size(); ++u) {
        double most = 0.0;
        for (const Setting& setting : usable_settings(context, model, u)) {
            solve += predicted_flops(model, u, setting);
            most = std::max(most, predicted_flops(model, u, setting));
        }
        solve_again += most;
    }
    const double grams = tokens * (static_cast<double>(spec.n_blocks) * gram_elements(spec) +
                                   static_cast<double>(spec.hidden_size * spec.hidden_size));
    const double plans = 1.0 + static_cast<double>(context.settings.size());
    const double evaluation = evaluated * plans * forward_flops(model.spec, length, true);
    const double speed =
        measure_speed(context.backend()) * static_cast<double>(context.world->size());
    const auto add = [&](const char* name, std::size_t tasks, double flops) {
        result.stages.push_back({name, tasks, flops, flops / speed});
    };
    const double forward = tokens * forward_flops(spec, length, false) + grams;
    if (context.job.slice) {
        add_slice_stages(context, tokens, forward, add);
    } else {
        add("calibrate", spec.n_blocks + 1, forward);
    }
    add("compress", model.spec.units.size(), solve);
    if (context.job.search.scores != SearchConfig::Scores::divergence) {
        // Forwards, each block once more, and backwards by inputs alone: four times a pass.
        const double part = std::min(tokens, static_cast<double>(gradient_tokens));
        const double batch = std::max(length, static_cast<double>(tokens_per_batch));
        add("gradients", static_cast<std::size_t>(std::ceil(part / batch)),
            part * 4.0 * forward_flops(model.spec, length, true));
    }
    add("search", static_cast<std::size_t>(plans), evaluation);
    if (context.job.refine != RefineMode::none) {
        // Two streams, each three times through a step; Gram matrices of two inputs. On one rank.
        const double passes = 6.0 * forward + 2.0 * grams + solve_again;
        add("refine", spec.n_blocks + 1, passes * static_cast<double>(context.world->size()));
    }
    add("assemble", spec.n_blocks + 1, static_cast<double>(result.parameters));
    // Of source and checkpoint.
    add("evaluate", questions.n_chunks(),
        2.0 * static_cast<double>(questions.n_tokens()) * forward_flops(spec, length, true));
}

}  // namespace

JobQuestions check_inputs(const JobContext& context) {
    const auto require_files = [](const char* key,
                                  const std::vector<std::filesystem::path>& files) {
        for (const std::filesystem::path& file : files) {
            std::error_code ignored;
            if (!std::filesystem::exists(file, ignored)) {
                throw MissingInputError(std::string(key) + ": no such file: " + file.string());
            }
        }
    };
    require_files("calibration.data", context.job.calibration.data);
    require_files("search.evaluation", context.job.search.evaluation);
    if (!context.job.search.kernel_times.empty()) {
        (void)KernelTimes::read(context.job.search.kernel_times);
    }
    return JobQuestions::read(context);
}

namespace {

std::size_t constant_width(const JobContext& context) {
    return constant_widths(*context.source, *context.job.slice).front();
}

/// What goes to the compress stage.
ModelOutline compressed_model(const JobContext& context) {
    const SourceModel& source = *context.source;
    if (!context.job.slice) {
        return source;
    }
    const SliceConfig& slice = *context.job.slice;
    return sliced_outline(source, slice, constant_widths(source, slice));
}

}  // namespace

namespace {

/// Of the given model, and of what is made of it.
void require_known_names(const JobContext& context, const ModelSpec& compressed) {
    KnownNames known;
    known.add(context.given_model().spec);
    known.add(context.given_model().passed_over);
    known.add(compressed);
    known.require(context.job.reading.ignore, "ignore");
}

}  // namespace

Preflight preflight(const JobContext& context, const JobQuestions& questions) {
    const ModelOutline model = compressed_model(context);
    const ModelSpec& spec = model.spec;
    require_known_targets(context, spec);
    require_known_names(context, spec);
    Preflight result;
    result.parameters = context.spec().parameters();
    result.source_bytes = context.source->weights.tensor_bytes();
    result.budget_bytes = context.job.budget.limit_bytes(result.source_bytes, result.parameters);
    result.minimum_bytes = ContainerSize::of(model).fixed_bytes;
    if (context.job.slice) {
        result.slice = {context.spec().hidden_size, constant_width(context), spec.parameters()};
    }
    std::uint64_t candidate_bytes = 0;
    std::uint64_t largest_unit = 0;
    for (std::size_t u = 0; u < spec.units.size(); ++u) {
        const std::vector<Setting> usable = usable_settings(context, model, u);
        std::uint64_t smallest = std::numeric_limits<std::uint64_t>::max();
        for (const Setting& setting : usable) {
            const std::uint64_t bytes = predicted_bytes(model, u, setting);
            smallest =
                std::min(smallest, bytes + ContainerSize::unit_bytes(spec.units[u], setting));
            if (setting != source_setting()) {
                candidate_bytes += bytes;
            }
        }
        result.minimum_bytes += smallest;
        std::uint64_t elements = 0;
        for (std::size_t t : spec.units[u].tensors) {
            elements += element_count(spec.tensors[t].shape);
        }
        largest_unit = std::max(largest_unit, elements);
    }
    const ModelSpec& given = context.spec();
    auto grams = static_cast<std::uint64_t>(gram_elements(given));
    const std::uint64_t square = given.hidden_size * given.hidden_size;
    grams += context.job.slice ? given.steps_per_block() * square : 0;
    const std::uint64_t stream =
        4 * context.job.calibration.num_calibration_samples *
        std::min(context.job.calibration.max_seq_length, given.max_positions) * given.hidden_size;
    // Calibration: a block in fp32, its Gram matrices in fp64, the residual stream of all samples.
    // Compression: a unit in fp32, as weights, stack, values and three matrices of ADMM; for each
    // candidate its state in fp32 and codes; the Gram matrix with a factor and an inverse.
    const std::uint64_t calibrating =
        4 * static_cast<std::uint64_t>(block_weights(given)) + 8 * grams + 2 * stream;
    const std::uint64_t compressing =
        (24 + 6 * context.settings.size()) * largest_unit + 40 * grams;
    // Slicing: the embedding in fp32 and, with its product, in fp64; three bases.
    const std::uint64_t slicing =
        context.job.slice ? 20 * given.vocab_size * given.hidden_size + 24 * square : 0;
    // Refitting it: two streams, a block in fp32 and fp64; sums as in refinement.
    const std::uint64_t refitting =
        context.job.slice && context.job.slice->refit
            ? 2 * stream + 12 * static_cast<std::uint64_t>(block_weights(given)) + 80 * grams
            : 0;
    // Refinement: two streams, a unit being compressed, a block of each model in fp32; sums over
    // each half of the batches and their means in fp64, matrices of the choice of a penalty.
    const std::uint64_t refining = context.job.refine == RefineMode::none
                                       ? 0
                                       : 2 * stream + compressing +
                                             8 * static_cast<std::uint64_t>(block_weights(given)) +
                                             80 * grams;
    // Scores from derivatives: a block in fp32 and, of a batch, the inputs of all blocks, some ten
    // more like them, a few of the MLP's width.
    const std::uint64_t batch = std::max<std::uint64_t>(
        tokens_per_batch, std::min(context.job.calibration.max_seq_length, given.max_positions));
    const std::uint64_t differentiating =
        context.job.search.scores == SearchConfig::Scores::divergence
            ? 0
            : 4 * static_cast<std::uint64_t>(block_weights(given)) +
                  4 * batch *
                      ((given.n_blocks + 12) * given.hidden_size + 3 * given.intermediate_size);
    result.peak_memory_bytes_per_rank =
        std::max({calibrating, compressing, slicing, refitting, refining, differentiating});
    result.run_directory_bytes =
        candidate_bytes + 4 * spec.n_blocks * grams +
        std::min(result.budget_bytes, result.source_bytes) + 2 * stream +
        (context.job.refine == RefineMode::none ? 0 : result.budget_bytes) +
        (context.job.exports.empty() ? 0 : result.source_bytes);
    if (context.job.slice) {
        // Gram matrices of the stream and rotations in fp64; the sliced model.
        const double share =
            static_cast<double>(spec.parameters()) / static_cast<double>(result.parameters);
        result.run_directory_bytes +=
            16 * (context.job.slice->touch_up + 1) * n_boundaries(given) * square +
            static_cast<std::uint64_t>(share * static_cast<double>(result.source_bytes));
        if (context.job.slice->refit) {  // a matrix for the readers and one for each writer
            result.run_directory_bytes +=
                4 * n_boundaries(given) * given.hidden_size *
                (given.hidden_size + std::max(given.intermediate_size, given.hidden_size));
        }
    }
    add_stages(context, model, questions, result);
    return result;
}

void require_feasible(const Preflight& preflight, const Budget& budget) {
    if (preflight.feasible()) {
        return;
    }
    std::array<char, 160> text{};
    const auto minimum = static_cast<double>(preflight.minimum_bytes);
    std::snprintf(
        text.data(), text.size(), "%llu bytes (%.3fx, %.3f bits per weight)",
        static_cast<unsigned long long>(preflight.minimum_bytes),
        // Rounded so that what is printed is itself feasible.
        std::floor(1000.0 * static_cast<double>(preflight.source_bytes) / minimum) / 1000.0,
        std::ceil(8000.0 * minimum / static_cast<double>(preflight.parameters)) / 1000.0);
    throw InfeasibleError("the budget of " + to_string(budget) + " (" +
                          std::to_string(preflight.budget_bytes) +
                          " bytes) cannot be met: the smallest feasible one is " + text.data());
}

}  // namespace lathe
