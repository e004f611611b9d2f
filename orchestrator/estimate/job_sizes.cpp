#include "orchestrator/estimate/job_sizes.hpp"

#include <algorithm>

#include "orchestrator/estimate/model_sums.hpp"
#include "orchestrator/stages/task_lists.hpp"
#include "workers/candidates/compression.hpp"

namespace lathe {

JobSizes::JobSizes(const JobOutline& job_outline, int ranks)
    : n_ranks(ranks),
      outline(job_outline),
      job(outline.job),
      spec(outline.spec()),
      length(outline.length()),
      tokens(static_cast<double>(job.calibration.num_calibration_samples * length)),
      block_weights(lathe::block_weights(spec)),
      grams(gram_elements(spec)),
      hidden(static_cast<double>(spec.hidden_size)),
      n_blocks(static_cast<double>(spec.n_blocks)),
      block_flops(lathe::block_flops(spec, static_cast<double>(length))),
      source_bytes(static_cast<double>(outline.source_bytes)),
      plan_bytes(static_cast<double>(outline.budget_bytes())) {
    for (const UnitSpec& unit : spec.units) {
        double elements = 0.0;
        for (const std::size_t t : unit.tensors) {
            elements += static_cast<double>(element_count(spec.tensors[t].shape));
        }
        unit_elements.push_back(elements);
    }
}

double JobSizes::bytes_of_element() const {
    return source_bytes / static_cast<double>(spec.parameters());
}

std::size_t JobSizes::block_of(std::size_t unit) const {
    return spec.units[unit].block.value_or(spec.n_blocks);
}

std::pair<double, double> JobSizes::solver_flops(std::size_t unit) const {
    double all = 0.0;
    double most = 0.0;
    for (const Setting& setting : outline.settings[unit]) {
        const double flops = predicted_flops(outline.model, unit, setting);
        all += flops;
        most = std::max(most, flops);
    }
    return {all, most};
}

double JobSizes::search_bytes() const {
    const auto rows = static_cast<double>(std::max(length, tokens_per_variants_task));
    return 4 * block_weights + 4 * rows * hidden * (1.0 + most_variants_per_task) +
           8 * rows * static_cast<double>(spec.n_outputs());
}

WorkCall JobSizes::call(const char* stage, double rank_bytes) const {
    WorkCall call;
    call.stage = stage;
    call.working_set = source_bytes + plan_bytes;
    call.rank_bytes = rank_bytes;
    return call;
}

TokenSequences sequences(std::size_t n, std::size_t length) {
    TokenSequences all;
    all.lengths.assign(n, static_cast<std::uint32_t>(length));
    return all;
}

std::vector<std::size_t> ranges_of(std::size_t n, std::size_t length, std::size_t most) {
    std::vector<std::size_t> tokens;
    for (const SequenceRange& range : sequences(n, length).ranges(most)) {
        tokens.push_back(range.tokens);
    }
    return tokens;
}

WorkTask task_of(const char* stage, std::string id, double cost, const Work& work) {
    WorkTask task;
    task.task.stage = stage;
    task.task.id = std::move(id);
    task.task.cost = cost;
    task.work = work;
    return task;
}

}  // namespace lathe
