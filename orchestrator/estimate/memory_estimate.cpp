#include "orchestrator/estimate/memory_estimate.hpp"

#include <algorithm>
#include <limits>

#include "lib/model/stream.hpp"
#include "orchestrator/estimate/memory_limit.hpp"
#include "orchestrator/estimate/model_sums.hpp"
#include "orchestrator/estimate/rank_memory.hpp"
#include "orchestrator/plan_size.hpp"
#include "orchestrator/serving.hpp"
#include "orchestrator/stages/task_lists.hpp"
#include "workers/candidates/compression.hpp"
#include "workers/candidates/kept_tensors.hpp"
#include "workers/task_table.hpp"

namespace lathe {

UnitSums sum_units(const JobContext& context, const ModelOutline& model) {
    const ModelSpec& spec = model.spec;
    UnitSums sums;
    const PlanSize size = PlanSize::of(context, model);
    sums.minimum_bytes = size.fixed_bytes();
    std::vector<std::vector<Setting>> all_settings;
    for (std::size_t u = 0; u < spec.units.size(); ++u) {
        std::uint64_t smallest = std::numeric_limits<std::uint64_t>::max();
        const std::vector<Setting> settings = settings_of_unit(context, model, u);
        for (const Setting& setting : settings) {
            smallest = std::min(smallest, size.unit_bytes(u, setting));
        }
        sums.candidate_bytes += candidate_bytes(model, u, settings);
        sums.minimum_bytes += smallest;
        const UnitRows all{0, row_count(spec, spec.units[u])};
        sums.refining_bytes =
            std::max(sums.refining_bytes, RankMemory::compress(model, u, settings, all));
        all_settings.push_back(settings);
    }
    const std::uint64_t limit = memory_limit_of(context.job, *context.world).bytes;
    const auto pieces = compression_pieces(model, all_settings, context.world->size(), limit);
    for (std::size_t u = 0; u < spec.units.size(); ++u) {
        for (const UnitRows& rows : pieces[u]) {
            sums.compressing_bytes = std::max(
                sums.compressing_bytes, RankMemory::compress(model, u, all_settings[u], rows));
        }
    }
    const std::vector<Setting> kept = kept_settings(context);
    const auto bytes_of = [&](const Setting& setting) {
        return size.unit_bytes(spec.units.size(), setting);
    };
    sums.minimum_bytes += bytes_of(*std::ranges::min_element(kept, {}, bytes_of));
    return sums;
}

RankMemory rank_memory_of(const JobContext& context) {
    return {context.spec(), context.job, memory_limit_of(context.job, *context.world).bytes};
}

std::vector<Preflight::Memory> stage_memory(const JobContext& context, const UnitSums& units) {
    const JobConfig& job = context.job;
    const RankMemory memory = rank_memory_of(context);
    std::vector<Preflight::Memory> stages;
    const auto add = [&](const char* stage, const RankMemory::Streamed& takes) {
        stages.push_back({stage, takes.bytes, takes.in_files});
    };
    if (job.slice && job.slice->order == SliceConfig::Order::sequential) {
        add(stage::rotate_in_order, memory.rotate_in_order());
    } else {
        add("calibrate", memory.calibrate());
    }
    add("compress", {units.compressing_bytes});
    if (context.weighs_tokens()) {
        add(stage::weigh_tokens, {memory.differentiate()});
    }
    if (job.ffsplit && job.ffsplit->score == FfsplitConfig::Score::removal) {
        add(stage::order_neurons, {memory.remove_neurons()});
    }
    if (job.slice) {
        add("rotate", {memory.rotate()});
    }
    if (job.slice && job.slice->refit) {
        add("slice", memory.refit_slices());
    }
    if (job.refine != RefineMode::none) {
        add("refine", memory.refine(units.refining_bytes));
    }
    if (job.search.scores != SearchConfig::Scores::divergence) {
        add("gradients", {memory.differentiate()});
    }
    for (Preflight::Memory& stage : stages) {
        stage.bytes += RankMemory::process_bytes;
    }
    return stages;
}

std::uint64_t run_directory_bytes(const JobContext& context, const ModelSpec& spec,
                                  const UnitSums& units, const Preflight& result) {
    const JobConfig& job = context.job;
    const ModelSpec& given = context.spec();
    const RankMemory memory = rank_memory_of(context);
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
