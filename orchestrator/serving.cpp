#include "orchestrator/serving.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "lib/config/yaml_reader.hpp"
#include "lib/encoding/integer_form.hpp"
#include "lib/job/serve_targets.hpp"
#include "orchestrator/served_layer.hpp"
#include "workers/checkpoint/kept_neurons.hpp"

namespace lathe {
namespace {

const ServeTarget& target_of(const JobContext& context) {
    return *find_serve_target(context.job.serve.value().reader);
}

[[noreturn]] void refuse_serve(const JobContext& context, const std::string& why) {
    const ServeConfig& serve = *context.job.serve;
    refuse_at(serve.place, "serve: " + serve.reader + ": " + why);
}

/// "" if the program takes the unit under the setting.
std::string why_not_served(const JobContext& context, const ModelSpec& spec, const UnitSpec& unit,
                           const Setting& setting) {
    const ServeTarget& target = target_of(context);
    if (setting.method == "dense") {
        return setting == source_setting()
                   ? ""
                   : fmt::format("{} has dense weights in the source's type", target.format);
    }
    std::vector<EncodedTensor> outlines = unit_outlines(spec, unit, setting);
    if (outlines.empty()) {
        return fmt::format("what method {} stores has no equivalent in {}", setting.method,
                           target.format);
    }
    for (EncodedTensor& outline : outlines) {
        if (const EncodedTensor* const piece = kept_piece(outline)) {
            outline = EncodedTensor(*piece);
        }
    }
    const UnitFate fate = find_export_format(target.format).unit_fate(spec, unit, outlines);
    if (fate.kind != UnitFate::Kind::packed) {
        return fate.reason;
    }
    std::size_t rows = 0;
    for (const EncodedTensor& outline : outlines) {
        rows += matrix_extents(outline.shape).first;
    }
    for (std::size_t i = 0; i < outlines.size(); ++i) {
        std::string why =
            why_not_this_layer(*context.job.serve, {spec.tensors[unit.tensors[i]].role, rows,
                                                    matrix_extents(outlines[i].shape).second,
                                                    integer_form(outlines[i]).value()});
        if (!why.empty()) {
            return why;
        }
    }
    return "";
}

/// For each of a unit's settings, as why_not_served(). A served model has one number of neurons:
/// where some settings drop neurons, those that drop none are left out.
std::vector<std::string> why_not_served(const JobContext& context, const ModelSpec& spec,
                                        const UnitSpec& unit,
                                        const std::vector<Setting>& settings) {
    std::vector<std::string> reasons;
    bool drops = false;
    for (const Setting& setting : settings) {
        reasons.push_back(why_not_served(context, spec, unit, setting));
        drops = drops || (reasons.back().empty() && !neurons_left(setting).empty());
    }
    for (std::size_t i = 0; drops && i < settings.size(); ++i) {
        if (reasons[i].empty() && neurons_left(settings[i]).empty()) {
            reasons[i] = "all layers have one number of neurons, and other candidates drop some";
        }
    }
    return reasons;
}

/// Heads are shared out whole.
void require_shared_heads(const JobContext& context, const ModelSpec& spec) {
    const std::size_t devices = context.job.serve->tensor_parallel;
    const bool kv_fit = spec.n_kv_heads % devices == 0 || devices % spec.n_kv_heads == 0;
    if (spec.n_heads % devices != 0 || !kv_fit) {
        refuse_serve(context, fmt::format("{} heads, {} of keys and values, cannot be shared out "
                                          "to tensor_parallel: {} devices",
                                          spec.n_heads, spec.n_kv_heads, devices));
    }
}

/// Neurons are dropped in all layers, as many in each, and config.json can say how many.
/// `settings`: settings_of_unit() of each unit.
void require_one_width(const JobContext& context, const ModelOutline& model,
                       const std::vector<std::vector<Setting>>& settings) {
    std::map<std::string, std::string> first_units;  // by what is left
    std::vector<EncodedTensor> headers(model.spec.tensors.size());
    for (std::size_t u = 0; u < model.spec.units.size(); ++u) {
        const UnitSpec& unit = model.spec.units[u];
        if (!has_neurons(model.spec.tensors[unit.tensors.front()])) {
            continue;
        }
        for (const Setting& setting : settings[u]) {
            const std::string left = neurons_left(setting);
            first_units.try_emplace(left.empty() ? "all neurons" : left, unit.name);
        }
        auto outlines = unit_outlines(model.spec, unit, settings[u].front());
        for (std::size_t i = 0; i < outlines.size(); ++i) {
            headers[unit.tensors[i]] = std::move(outlines[i]);
        }
    }
    if (first_units.size() > 1) {
        const auto& [one, there] = *first_units.begin();
        const auto& [other, elsewhere] = *std::next(first_units.begin());
        refuse_serve(context, fmt::format("all layers have one number of neurons, and candidates "
                                          "leave {} in {}, {} in {}",
                                          one, there, other, elsewhere));
    }
    const bool drops = !first_units.empty() && !first_units.contains("all neurons");
    if (drops && !kept_neurons(model.spec, headers, model.config_text(), "config.json")) {
        refuse_serve(context, "config.json of family " + model.spec.family +
                                  " has no key for the number of neurons, so none can be dropped");
    }
}

}  // namespace

std::vector<Setting> settings_of_unit(const JobContext& context, const ModelOutline& model,
                                      std::size_t unit_index) {
    const std::vector<Setting> settings = usable_settings(context, model, unit_index);
    if (!context.job.serve) {
        return settings;
    }
    const UnitSpec& unit = model.spec.units.at(unit_index);
    const std::vector<std::string> reasons = why_not_served(context, model.spec, unit, settings);
    std::vector<Setting> served;
    std::string last_reason;
    for (std::size_t i = 0; i < settings.size(); ++i) {
        if (reasons[i].empty()) {
            served.push_back(settings[i]);
        } else {
            last_reason = to_string(settings[i]) + ": " + reasons[i];
        }
    }
    if (served.empty()) {
        refuse_serve(context, "of the candidates whose targets name " + unit.name +
                                  " none is left; " + last_reason);
    }
    return served;
}

std::vector<DroppedSetting> dropped_settings(const JobContext& context, const ModelOutline& model) {
    std::vector<DroppedSetting> dropped;
    if (!context.job.serve) {
        return dropped;
    }
    for (std::size_t u = 0; u < model.spec.units.size(); ++u) {
        const UnitSpec& unit = model.spec.units[u];
        const std::vector<Setting> settings = usable_settings(context, model, u);
        const std::vector<std::string> reasons =
            why_not_served(context, model.spec, unit, settings);
        for (std::size_t i = 0; i < settings.size(); ++i) {
            const std::string& why = reasons[i];
            if (why.empty()) {
                continue;
            }
            const std::string text = to_string(settings[i]);
            const auto known = std::ranges::find_if(dropped, [&](const DroppedSetting& d) {
                return d.setting == text && d.reason == why;
            });
            if (known == dropped.end()) {
                dropped.push_back({text, why, unit.name, 1});
            } else {
                ++known->n_units;
            }
        }
    }
    return dropped;
}

void require_servable(const JobContext& context, const ModelOutline& model) {
    if (!context.job.serve) {
        return;
    }
    const ServeTarget& target = target_of(context);
    const ModelSpec& spec = model.spec;
    if (const std::string why = find_export_format(target.format).refuses(spec); !why.empty()) {
        refuse_serve(context, why);
    }
    if (std::ranges::find(target.families_without_path, spec.family) !=
        target.families_without_path.end()) {
        refuse_serve(context, "it has no model of family " + spec.family);
    }
    if (context.job.serve->tensor_parallel > 1) {
        require_shared_heads(context, spec);
    }
    const auto compresses = [](const std::vector<Setting>& settings) {
        return settings != std::vector{source_setting()};
    };
    bool takes_any = false;
    bool wants_any = false;
    std::vector<std::vector<Setting>> settings;
    for (std::size_t u = 0; u < spec.units.size(); ++u) {
        settings.push_back(settings_of_unit(context, model, u));
        takes_any = takes_any || compresses(settings.back());
        wants_any = wants_any || compresses(usable_settings(context, model, u));
    }
    if (wants_any && !takes_any) {
        const std::vector<DroppedSetting> dropped = dropped_settings(context, model);
        refuse_serve(context, "none of the candidates is one that it takes; " +
                                  (dropped.empty() ? "" : describe(dropped.front())));
    }
    require_one_width(context, model, settings);
}

std::string describe(const DroppedSetting& dropped) {
    return fmt::format("not for {}{}: {}: {}", dropped.first_unit,
                       dropped.n_units == 1 ? "" : fmt::format(" and {} more", dropped.n_units - 1),
                       dropped.setting, dropped.reason);
}

}  // namespace lathe
