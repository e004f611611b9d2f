#include "orchestrator/estimate/memory_estimate.hpp"

#include <algorithm>
#include <limits>

#include "lib/model/stream.hpp"
#include "orchestrator/estimate/rank_memory.hpp"
#include "orchestrator/plan_size.hpp"
#include "orchestrator/serving.hpp"
#include "workers/candidates/compression.hpp"
#include "workers/candidates/kept_tensors.hpp"

namespace lathe {

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
        sums.solving_bytes = std::max(
            sums.solving_bytes,
            RankMemory::compress(elements, has_gram ? cols * cols : 0, settings, own_bytes));
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
    const RankMemory memory(context.spec(), job);
    std::uint64_t most = std::max(memory.calibrate(), units.solving_bytes);
    if (job.slice) {
        most = std::max(most, memory.rotate());
    }
    if (job.slice && job.slice->refit) {
        most = std::max(most, memory.refit_slices());
    }
    if (job.refine != RefineMode::none) {
        most = std::max(most, memory.refine(units.solving_bytes));
    }
    if (job.search.scores != SearchConfig::Scores::divergence) {
        most = std::max(most, memory.differentiate());
    }
    return most + RankMemory::panel_bytes;
}

std::uint64_t run_directory_bytes(const JobContext& context, const ModelSpec& spec,
                                  const UnitSums& units, const Preflight& result) {
    const JobConfig& job = context.job;
    const ModelSpec& given = context.spec();
    const RankMemory memory(given, job);
    std::uint64_t bytes = units.candidate_bytes + 2 * spec.n_blocks * memory.grams() +
                          std::min(result.budget_bytes, result.source_bytes) + 2 * memory.stream();
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
    bytes += 12 * (job.slice->touch_up + 1) * n_boundaries(given) * memory.square() +
             static_cast<std::uint64_t>(share * static_cast<double>(result.source_bytes));
    if (job.slice->refit) {  // a matrix for the readers and one for each writer
        bytes += 4 * n_boundaries(given) * given.hidden_size *
                 (given.hidden_size + std::max(given.intermediate_size, given.hidden_size));
    }
    return bytes;
}

}  // namespace lathe
