#include "orchestrator/estimate/memory_estimate.hpp"

#include <algorithm>
#include <limits>

#include "lib/model/stream.hpp"
#include "orchestrator/estimate/model_sums.hpp"
#include "orchestrator/plan_size.hpp"
#include "orchestrator/serving.hpp"
#include "workers/candidates/compression.hpp"
#include "workers/candidates/kept_tensors.hpp"

namespace lathe {

namespace {

/// Panels of both operands of a product, at most (kernels/cpu), which threads keep.
constexpr std::uint64_t panel_bytes = std::uint64_t{128} << 20;

/// Sizes that several stages share, in elements but for `stream`.
struct Sizes {
    explicit Sizes(const JobContext& context)
        : spec(context.spec()),
          block(static_cast<std::uint64_t>(block_weights(spec))),
          square(spec.hidden_size * spec.hidden_size),
          grams(static_cast<std::uint64_t>(gram_elements(spec))),
          stream_grams(context.job.slice ? spec.steps_per_block() * square : 0),
          length(std::min(context.job.calibration.max_seq_length, spec.max_positions)),
          stream(4 * context.job.calibration.num_calibration_samples * length * spec.hidden_size) {}

    const ModelSpec& spec;
    std::uint64_t block;         ///< weights
    std::uint64_t square;        ///< of the hidden size
    std::uint64_t grams;         ///< of a block's inputs
    std::uint64_t stream_grams;  ///< of its streams, in jobs that slice
    std::uint64_t length;        ///< tokens of a sample
    std::uint64_t stream;        ///< bytes of the residual stream of all samples
};

bool has_admm(const Setting& setting) {
    const auto solver = setting.values.find("solver");
    return solver != setting.values.end() && solver->second.starts_with("admm");
}

/// What run_compression() holds for a unit of these settings. Of each element of the unit: the
/// weight, the stack, the values and, by method, what stands in its solver; of each element of the
/// Gram matrix: itself and two more, a factor and the triangle it is made in (8 bytes of one half),
/// or ADMM's matrix and inverse.
std::uint64_t solving_bytes(std::uint64_t elements, std::uint64_t square,
                            const std::vector<Setting>& settings, std::uint64_t candidate_bytes) {
    std::uint64_t refined = 0;
    std::uint64_t of_element = 12 + 6;  // codes twice, a difference
    std::uint64_t of_square = 12;
    for (const Setting& setting : settings) {
        refined += has_admm(setting) ? 1 : 0;
        if (setting.method == "nm") {
            of_element = std::max<std::uint64_t>(of_element, has_admm(setting) ? 52 : 24);
            of_square = 16;
        } else if (setting.method == "low_rank" || setting.method == "ffsplit") {
            of_element = std::max<std::uint64_t>(of_element, 40);
            of_square = std::max<std::uint64_t>(of_square, 40);
        }
    }
    if (refined > 0) {  // target, step and its product, a difference; of each its state and codes
        of_element = std::max<std::uint64_t>(of_element, 12 + 16) + 6 * refined;
    }
    return of_element * elements + of_square * square + candidate_bytes;
}

/// Scores from derivatives: a block in fp32 and, of a batch, the inputs of all blocks, some ten
/// more like them, a few of the MLP's width.
std::uint64_t differentiating_bytes(const Sizes& sizes) {
    const ModelSpec& spec = sizes.spec;
    const std::uint64_t batch = std::max<std::uint64_t>(tokens_per_batch, sizes.length);
    return 4 * sizes.block +
           4 * batch * ((spec.n_blocks + 12) * spec.hidden_size + 3 * spec.intermediate_size);
}

}  // namespace

UnitSums sum_units(const JobContext& context, const ModelOutline& model) {
    const ModelSpec& spec = model.spec;
    UnitSums sums;
    const PlanSize size = PlanSize::of(context, model);
    sums.minimum_bytes = size.fixed_bytes();
    for (std::size_t u = 0; u < spec.units.size(); ++u) {
        std::uint64_t smallest = std::numeric_limits<std::uint64_t>::max();
        std::uint64_t own_bytes = 0;
        const std::vector<Setting> settings = settings_of_unit(context, model, u);
        for (const Setting& setting : settings) {
            const std::uint64_t bytes = predicted_bytes(model, u, setting);
            smallest = std::min(smallest, size.unit_bytes(u, setting));
            if (setting != source_setting()) {
                own_bytes += bytes;
            }
        }
        sums.candidate_bytes += own_bytes;
        sums.minimum_bytes += smallest;
        std::uint64_t elements = 0;
        for (const std::size_t t : spec.units[u].tensors) {
            elements += element_count(spec.tensors[t].shape);
        }
        const std::uint64_t cols = spec.tensors[spec.units[u].tensors.front()].shape.back();
        const bool has_gram = spec.units[u].input != Signal::token_ids;
        sums.solving_bytes =
            std::max(sums.solving_bytes,
                     solving_bytes(elements, has_gram ? cols * cols : 0, settings, own_bytes));
    }
    const std::vector<Setting> kept = kept_settings(context);
    const auto bytes_of = [&](const Setting& setting) {
        return size.unit_bytes(spec.units.size(), setting);
    };
    sums.minimum_bytes += bytes_of(*std::ranges::min_element(kept, {}, bytes_of));
    return sums;
}

std::uint64_t peak_memory_bytes(const JobContext& context, const UnitSums& units) {
    const JobConfig& job = context.job;
    const Sizes sizes(context);
    // Calibration: a block in fp32, its Gram matrices as triangles in fp32, those of streams whole
    // in fp64; the residual stream of all samples; the embedding, which the first block's rank has.
    std::uint64_t most = 4 * sizes.block + 2 * sizes.grams + 8 * sizes.stream_grams +
                         2 * sizes.stream + 4 * sizes.spec.vocab_size * sizes.spec.hidden_size;
    const std::uint64_t compressing = units.solving_bytes;
    most = std::max(most, compressing);
    if (job.slice) {
        // The embedding in fp32 and, with its product, in fp64; three bases.
        most =
            std::max(most, 20 * sizes.spec.vocab_size * sizes.spec.hidden_size + 24 * sizes.square);
    }
    if (job.slice && job.slice->refit) {
        // Two streams, a block in fp32 and fp64; sums as in refinement.
        most = std::max(most, 2 * sizes.stream + 12 * sizes.block + 60 * sizes.grams);
    }
    if (job.refine != RefineMode::none) {
        // Two streams, a unit being compressed, a block of each model in fp32; sums over each half
        // of the batches, those of what is missing in fp64, matrices of the choice of a penalty.
        most = std::max(most, 2 * sizes.stream + compressing + 8 * sizes.block + 60 * sizes.grams);
    }
    if (job.search.scores != SearchConfig::Scores::divergence) {
        most = std::max(most, differentiating_bytes(sizes));
    }
    return most + panel_bytes;
}

std::uint64_t run_directory_bytes(const JobContext& context, const ModelSpec& spec,
                                  const UnitSums& units, const Preflight& result) {
    const JobConfig& job = context.job;
    const Sizes sizes(context);
    const ModelSpec& given = sizes.spec;
    std::uint64_t bytes = units.candidate_bytes + 2 * spec.n_blocks * sizes.grams +
                          std::min(result.budget_bytes, result.source_bytes) + 2 * sizes.stream;
    bytes += job.refine == RefineMode::none ? 0 : result.budget_bytes;
    for (const std::string& format : job.exports) {
        bytes += format == "hf" ? result.source_bytes
                                : std::min(result.budget_bytes, result.source_bytes);
    }
    bytes += context.orders_neurons() ? 52 * given.n_blocks * given.intermediate_size : 0;
    if (!job.slice) {
        return bytes;
    }
    // Gram matrices of the stream and rotations in fp64; the sliced model.
    const double share =
        static_cast<double>(spec.parameters()) / static_cast<double>(result.parameters);
    bytes += 12 * (job.slice->touch_up + 1) * n_boundaries(given) * sizes.square +
             static_cast<std::uint64_t>(share * static_cast<double>(result.source_bytes));
    if (job.slice->refit) {  // a matrix for the readers and one for each writer
        bytes += 4 * n_boundaries(given) * given.hidden_size *
                 (given.hidden_size + std::max(given.intermediate_size, given.hidden_size));
    }
    return bytes;
}

}  // namespace lathe
