#include "orchestrator/preflight.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include <fmt/format.h>

#include "lib/core/errors.hpp"
#include "lib/job/kernel_times.hpp"
#include "lib/model/name_patterns.hpp"
#include "orchestrator/estimate/memory_estimate.hpp"
#include "orchestrator/estimate/work_estimate.hpp"
#include "orchestrator/exporting.hpp"
#include "orchestrator/progress.hpp"
#include "orchestrator/serving.hpp"
#include "workers/candidates/compression.hpp"
#include "workers/slicing/sliced_model.hpp"
#include "workers/slicing/stream_widths.hpp"

namespace lathe {

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

Preflight::Slice slice_sizes(const JobContext& context, const ModelSpec& sliced) {
    Preflight::Slice sizes{context.spec().hidden_size, constant_width(context),
                           sliced.parameters()};
    const bool splits = context.given_model().spec.tied_head && !sliced.tied_head;
    for (const TensorSpec& tensor : sliced.tensors) {
        const std::uint64_t count = element_count(tensor.shape);
        if (is_shortcut(tensor.role)) {
            sizes.shortcuts += count;
        } else if (tensor.role == Role::embedding_projection ||
                   tensor.role == Role::head_projection) {
            sizes.projections += count;
        } else if (splits &&
                   (tensor.role == Role::token_embedding || tensor.role == Role::lm_head)) {
            sizes.split_tables += count;
        }
    }
    return sizes;
}

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
    require_candidates_of_use(context, model);
    require_servable(context, model);
    require_known_names(context, model.spec);
    require_exportable(context, model);
    if (context.orders_neurons()) {
        require_neurons(context.spec(), context.given_model().directory.string());
    }
    const UnitSums units = sum_units(context, model);
    Preflight result;
    result.parameters = context.spec().parameters();
    result.source_bytes = context.source->weights.tensor_bytes();
    result.budget_bytes = context.job.budget.limit_bytes(result.source_bytes, result.parameters);
    result.minimum_bytes = units.minimum_bytes;
    result.is_lower_bound = context.has_open_bytes();
    result.dropped = dropped_settings(context, model);
    if (context.job.slice) {
        result.slice = slice_sizes(context, model.spec);
    }
    result.memory = stage_memory(context, units);
    result.memory_limit = memory_limit_of(context.job, *context.world);
    result.run_directory_bytes = run_directory_bytes(context, model.spec, units, result);
    result.stages = estimate_stages(context, model, questions);
    return result;
}

const Preflight::Memory& Preflight::peak_memory() const {
    return *std::ranges::max_element(memory, {}, &Memory::bytes);
}

void require_memory(const Preflight& preflight) {
    const Preflight::Memory& peak = preflight.peak_memory();
    const MemoryLimit& limit = preflight.memory_limit;
    if (limit.bytes > 0 && peak.bytes > limit.bytes) {
        throw InfeasibleError(fmt::format(
            "stage {} takes about {} of memory of a rank, which may use {} ({}); fewer ranks on a "
            "node, fewer calibration.num_calibration_samples or candidates take less, and "
            "runtime.memory_limit says otherwise",
            peak.stage, bytes_text(peak.bytes), bytes_text(limit.bytes), limit.source));
    }
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
