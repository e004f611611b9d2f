#include "orchestrator/stages/slice_widths.hpp"

#include <algorithm>

#include "lib/core/json.hpp"
#include "workers/model/fused_weights.hpp"
#include "workers/slicing/cut_effect.hpp"
#include "workers/slicing/rotation.hpp"
#include "workers/slicing/stream_widths.hpp"
#include "workers/task_table.hpp"

namespace lathe {
namespace {

using Widths = std::vector<std::size_t>;

/// A cut at one boundary alone.
Widths single_cut(const ModelSpec& spec, std::size_t boundary, std::size_t width) {
    Widths widths(n_boundaries(spec), spec.hidden_size);
    widths[boundary] = width;
    return widths;
}

/// For each boundary, largest first; empty where the stream is not cut.
std::vector<std::vector<double>> all_eigenvalues(const JobRun& run) {
    std::vector<std::vector<double>> eigenvalues(n_boundaries(fused_spec(run)));
    for (std::size_t b = 0; b < eigenvalues.size(); ++b) {
        if (is_rotated(*run.given_context().job.slice, fused_spec(run), b)) {
            eigenvalues[b] = read_eigenvalues(run.given_context(), b, 0);
        }
    }
    return eigenvalues;
}

/// For each boundary that is cut, at the probe widths, the others cut to `constant`: neighbours
/// lose much the same directions, so that what a cut does alone says little of what it adds.
std::vector<std::vector<WidthEffect>> measure_effects(JobRun& run, const Widths& constant) {
    const ModelSpec& spec = fused_spec(run);
    const SliceConfig& slice = *run.given_context().job.slice;
    Widths probes = probe_widths(run.given_model(), slice);
    probes.insert(probes.begin(), spec.hidden_size);  // no cut: what the others do
    std::vector<std::size_t> places;
    std::vector<Widths> cuts;
    for (std::size_t b = 0; b < n_boundaries(spec); ++b) {
        if (!is_rotated(slice, spec, b)) {
            continue;
        }
        places.push_back(b);
        for (const std::size_t width : probes) {
            cuts.push_back(constant);
            cuts.back()[b] = width;
        }
    }
    const std::vector<double> found = measure_cuts(run, cuts);
    std::vector<std::vector<WidthEffect>> effects(n_boundaries(spec));
    for (std::size_t p = 0; p < places.size(); ++p) {
        const double* own = &found[p * probes.size()];
        for (std::size_t i = 1; i < probes.size(); ++i) {
            effects[places[p]].push_back({probes[i], own[i] - own[0]});
        }
    }
    return effects;
}

}  // namespace

const ModelSpec& fused_spec(const JobRun& run) {
    return run.given_context().fused->spec;
}

std::vector<double> measure_cuts(JobRun& run, const std::vector<Widths>& cuts) {
    constexpr std::size_t tokens_per_task = 512;
    constexpr std::size_t max_tokens = 2048;
    const TokenSequences& all = run.samples().calibration;
    const TokenSequences samples = all.part(all.ranges(max_tokens).front());
    const std::vector<SequenceRange> ranges = samples.ranges(tokens_per_task);
    std::vector<StageTask> tasks;
    for (std::size_t first = 0; first < cuts.size(); first += max_cuts) {
        const std::size_t end = std::min(cuts.size(), first + max_cuts);
        CutEffectTask group;
        group.cuts.assign(cuts.begin() + static_cast<std::ptrdiff_t>(first),
                          cuts.begin() + static_cast<std::ptrdiff_t>(end));
        const std::string identity = run.given_fingerprint({nlohmann::json(group.cuts).dump()});
        for (const SequenceRange& range : ranges) {
            group.samples = samples.part(range);
            StageTask task;
            task.task.stage = stage::cut_effect;
            task.task.id = "cut_effect/" + identity + "/" + std::to_string(range.first);
            task.task.arguments = to_json(group);
            tasks.push_back(std::move(task));
        }
    }
    const std::vector<std::string> answers = run.run_stage("rotate", std::move(tasks));
    std::vector<double> effects(cuts.size(), 0.0);
    for (std::size_t a = 0; a < answers.size(); ++a) {
        const auto sums = parse_json(answers[a]).get<std::vector<double>>();
        for (std::size_t i = 0; i < sums.size(); ++i) {
            effects[a / ranges.size() * max_cuts + i] += sums[i];
        }
    }
    for (double& effect : effects) {
        effect /= static_cast<double>(samples.tokens());
    }
    return effects;
}

std::vector<double> measure_single_cuts(JobRun& run) {
    const ModelSpec& spec = fused_spec(run);
    std::vector<Widths> cuts;
    for (std::size_t b = 0; b < n_boundaries(spec); ++b) {
        cuts.push_back(single_cut(spec, b, probe_width(spec)));
    }
    return measure_cuts(run, cuts);
}

Widths choose_widths(JobRun& run, std::vector<ConsideredWidths>& considered) {
    const SliceConfig& slice = *run.given_context().job.slice;
    const Widths constant = constant_widths(run.given_model(), slice);
    if (slice.widths == SliceConfig::Widths::constant) {
        return constant;
    }
    const std::vector<std::vector<double>> eigenvalues = all_eigenvalues(run);
    const Widths by_energy = energy_widths(run.given_model(), slice, eigenvalues);
    if (slice.widths == SliceConfig::Widths::energy) {
        return by_energy;
    }
    considered = {{"constant", constant},
                  {"energy", by_energy},
                  {"effect", effect_widths(run.given_model(), slice, eigenvalues,
                                           measure_effects(run, constant))}};
    std::vector<Widths> cuts;
    for (const ConsideredWidths& c : considered) {
        cuts.push_back(c.widths);
    }
    const std::vector<double> divergences = measure_cuts(run, cuts);
    for (std::size_t c = 0; c < considered.size(); ++c) {
        considered[c].divergence = divergences[c];
    }
    return std::ranges::min_element(considered, {}, &ConsideredWidths::divergence)->widths;
}

}  // namespace lathe
