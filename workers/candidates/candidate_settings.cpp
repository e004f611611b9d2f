// Which settings a unit has, and what they come to: what compression.hpp declares beside the task.

#include <algorithm>

#include "lib/core/errors.hpp"
#include "lib/model/name_patterns.hpp"
#include "methods/method.hpp"
#include "workers/candidates/compression.hpp"
#include "workers/candidates/kept_tensors.hpp"

namespace lathe {

void require_candidates_of_use(const JobContext& context, const ModelOutline& model) {
    (void)kept_settings(context);
    require_known_targets(context.job.candidates, model.spec);
    require_some_use(context.job.candidates, model.spec, model.dtypes);
}

std::vector<std::string> candidates_of_no_use(const JobContext& context) {
    return settings_of_no_use(context.job.candidates, context.spec(), context.source->dtypes,
                              context.source->held_energy);
}

std::vector<Setting> usable_settings(const JobContext& context, std::size_t unit) {
    return usable_settings(context, *context.source, unit);
}

std::vector<Setting> usable_settings(const JobContext& context, const ModelOutline& model,
                                     std::size_t unit_index) {
    const ModelSpec& spec = model.spec;
    const UnitSpec& unit = spec.units.at(unit_index);
    if (NamePatterns(context.job.reading.ignore, "ignore").has(spec, unit)) {
        return {source_setting()};
    }
    std::vector<Setting> usable;
    std::string last_reason;
    for (const Setting& setting :
         expand_for_unit(context.job.candidates, spec, unit, model.held_energy)) {
        const std::string reason = refusal(setting, spec, unit, model.dtypes);
        if (reason.empty()) {
            usable.push_back(setting);
        } else {
            last_reason = to_string(setting) + ": " + reason;
        }
    }
    if (usable.empty() && model.held_energy.empty()) {
        throw UsageError("candidates: none of those whose targets name " + unit.name +
                         " suits it; " + last_reason);
    }
    return usable.empty() ? std::vector{source_setting()} : usable;
}

std::vector<EncodedTensor> unit_outlines(const ModelSpec& spec, const UnitSpec& unit,
                                         const Setting& setting) {
    std::vector<EncodedTensor> outlines;
    for (const std::size_t t : unit.tensors) {
        auto outline = outline_of(setting, spec.tensors[t].shape);
        if (!outline) {
            return {};
        }
        outlines.push_back(std::move(*outline));
    }
    return outlines;
}

std::string neurons_left(const Setting& setting) {
    return tie_of(setting);
}

std::uint64_t predicted_bytes(const ModelOutline& source, std::size_t unit,
                              const Setting& setting) {
    const MethodRow& method = find_method(setting.method, "candidates");
    std::uint64_t bytes = 0;
    for (std::size_t t : source.spec.units.at(unit).tensors) {
        bytes += method.bytes(setting, source.spec.tensors[t].shape, source.dtype(t));
    }
    return bytes;
}

double predicted_flops(const ModelOutline& source, std::size_t unit, const Setting& setting) {
    const MethodRow& method = find_method(setting.method, "candidates");
    double flops = 0.0;
    for (std::size_t t : source.spec.units.at(unit).tensors) {
        flops += method.flops(setting, source.spec.tensors[t].shape);
    }
    return flops;
}

}  // namespace lathe
