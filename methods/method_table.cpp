#include <algorithm>
#include <array>
#include <functional>

#include "lib/config/yaml_reader.hpp"
#include "lib/core/errors.hpp"
#include "lib/model/name_patterns.hpp"
#include "methods/bcq.hpp"
#include "methods/bct.hpp"
#include "methods/dense.hpp"
#include "methods/ffsplit.hpp"
#include "methods/integer.hpp"
#include "methods/low_rank.hpp"
#include "methods/method.hpp"
#include "methods/nm.hpp"
#include "methods/setting_keys.hpp"

namespace lathe {

namespace {

/// The source as it is: every unit can have this, and ignored units always do.
const CandidateEntry source_entry{"dense", {}, {}};

}  // namespace

std::span<const MethodRow> method_table() {
    static const std::array table = {dense_method(),    integer_method(), nm_method(), bcq_method(),
                                     low_rank_method(), ffsplit_method(), bct_method()};
    return table;
}

const MethodRow& find_method(std::string_view name, const std::string& place) {
    std::string names;
    for (const MethodRow& row : method_table()) {
        if (row.name == name) {
            return row;
        }
        names += (names.empty() ? "" : ", ") + std::string(row.name);
    }
    throw UsageError((place.empty() ? "" : place + ": ") + "unknown method \"" + std::string(name) +
                     "\"; methods are " + names);
}

ContainerParts container_parts(const Setting& setting) {
    const MethodRow& method = find_method(setting.method, "");
    if (method.container != nullptr) {
        return method.container(setting);
    }
    if (setting.method == source_entry.method) {
        return {};
    }
    // Codes come with scales, and perhaps with zeros.
    const auto symmetric = setting.values.find("symmetric");
    const bool has_zeros = symmetric == setting.values.end() || symmetric->second != "true";
    return {0, has_zeros ? 2U : 1U};
}

bool is_open(const Setting& setting) {
    const MethodRow& method = find_method(setting.method, "");
    return method.is_open != nullptr && method.is_open(setting);
}

std::optional<EncodedTensor> outline_of(const Setting& setting, const Shape& shape) {
    const MethodRow& method = find_method(setting.method, "candidates");
    return method.outline == nullptr ? std::nullopt : method.outline(setting, shape);
}

std::string tie_of(const Setting& setting) {
    const MethodRow& method = find_method(setting.method, "");
    return method.tie == nullptr ? "" : method.tie(setting);
}

namespace {

void add_settings(const CandidateEntry& entry, std::vector<Setting>& settings,
                  const std::function<Setting(const MethodRow&, const Setting&)>& adapt) {
    const MethodRow& method = find_method(entry.method, entry.place.text);
    for (const Setting& expanded : method.expand(entry)) {
        const Setting setting = adapt(method, expanded);
        if (std::find(settings.begin(), settings.end(), setting) == settings.end()) {
            settings.push_back(setting);
        }
    }
}

Setting unchanged(const MethodRow& /*method*/, const Setting& setting) {
    return setting;
}

const CandidateEntry::Key* targets_of(const CandidateEntry& entry) {
    const auto found = std::find_if(entry.keys.begin(), entry.keys.end(),
                                    [](const auto& key) { return key.name == targets_key; });
    return found == entry.keys.end() ? nullptr : &*found;
}

/// Whether an entry's `targets`, if it has any, name the unit.
bool is_for(const CandidateEntry& entry, const ModelSpec& spec, const UnitSpec& unit) {
    const CandidateEntry::Key* targets = targets_of(entry);
    return targets == nullptr ||
           NamePatterns(targets->values, prefix_of(targets->place) + "targets").has(spec, unit);
}

Setting for_unit(const MethodRow& method, const Setting& setting, const ModelSpec& spec,
                 const UnitSpec& unit, HeldEnergy held) {
    if (method.for_unit == nullptr) {
        return setting;
    }
    const bool is_known = !held.empty() && unit.block;
    return method.for_unit(setting, spec, unit,
                           is_known ? held[*unit.block] : std::span<const double>());
}

}  // namespace

std::vector<Setting> expand_candidates(const std::vector<CandidateEntry>& entries) {
    std::vector<Setting> settings;
    for (const CandidateEntry& entry : entries) {
        add_settings(entry, settings, unchanged);
    }
    add_settings(source_entry, settings, unchanged);
    return settings;
}

std::vector<Setting> expand_for_unit(const std::vector<CandidateEntry>& entries,
                                     const ModelSpec& spec, const UnitSpec& unit, HeldEnergy held) {
    const auto adapt = [&](const MethodRow& method, const Setting& setting) {
        return for_unit(method, setting, spec, unit, held);
    };
    std::vector<Setting> own;
    std::vector<Setting> general;
    for (const CandidateEntry& entry : entries) {
        if (targets_of(entry) == nullptr) {
            add_settings(entry, general, adapt);
        } else if (is_for(entry, spec, unit)) {
            add_settings(entry, own, adapt);
        }
    }
    add_settings(source_entry, general, adapt);
    return own.empty() ? general : own;
}

std::string refusal(const Setting& setting, const ModelSpec& spec, const UnitSpec& unit,
                    std::span<const DType> dtypes) {
    const MethodRow& method = find_method(setting.method, "candidates");
    for (const std::size_t t : unit.tensors) {
        std::string reason = method.refuses(setting, unit, spec.tensors[t].shape, dtypes[t]);
        if (!reason.empty()) {
            return reason;
        }
    }
    return "";
}

namespace {

/// Why no unit can have the setting of the entry; "": one can, or none is meant.
std::string why_of_no_use(const Setting& setting, const CandidateEntry& entry,
                          const ModelSpec& spec, std::span<const DType> dtypes, HeldEnergy held) {
    std::string why;
    bool is_made_for = false;
    for (const UnitSpec& unit : spec.units) {
        if (!is_for(entry, spec, unit)) {
            continue;
        }
        const Setting own = for_unit(find_method(entry.method, ""), setting, spec, unit, held);
        std::string reason = refusal(own, spec, unit, dtypes);
        if (reason.empty()) {
            return "";
        }
        // Of a unit that the method is made for, the reason says more; else the last is as good.
        if (!is_made_for || own != setting) {
            why = std::move(reason);
            is_made_for = own != setting;
        }
    }
    return why;
}

}  // namespace

std::vector<std::string> settings_of_no_use(const std::vector<CandidateEntry>& entries,
                                            const ModelSpec& spec, std::span<const DType> dtypes,
                                            HeldEnergy held) {
    std::vector<std::string> lines;
    for (const CandidateEntry& entry : entries) {
        for (const Setting& setting : find_method(entry.method, "").expand(entry)) {
            const std::string why = why_of_no_use(setting, entry, spec, dtypes, held);
            if (!why.empty()) {
                lines.push_back(prefix_of(entry.place) + "candidate \"" + to_string(setting) +
                                "\" suits no unit of the model: " + why);
            }
        }
    }
    return lines;
}

void require_some_use(const std::vector<CandidateEntry>& entries, const ModelSpec& spec,
                      std::span<const DType> dtypes) {
    const std::vector<std::string> lines = settings_of_no_use(entries, spec, dtypes);
    if (!lines.empty()) {
        throw UsageError(lines.front());
    }
}

namespace {

/// Why no unit has this name: it is that of a norm or bias, or of nothing.
std::string describe_bad_target(const std::string& target, const NamePatterns& pattern,
                                const ModelSpec& spec) {
    if (std::any_of(spec.tensors.begin(), spec.tensors.end(),
                    [&](const TensorSpec& tensor) { return pattern.has(tensor.name); })) {
        return "names \"" + target +
               "\", which no candidate is for: norms, biases and small tables stay as they are";
    }
    std::vector<std::string> names;
    for (const UnitSpec& unit : spec.units) {
        const std::vector<std::string> own = names_of(spec, unit);
        names.insert(names.end(), own.begin(), own.end());
    }
    return describe_unknown_name(target, names);
}

}  // namespace

void require_known_targets(const std::vector<CandidateEntry>& entries, const ModelSpec& spec) {
    for (const CandidateEntry& entry : entries) {
        const CandidateEntry::Key* targets = targets_of(entry);
        if (targets == nullptr) {
            continue;
        }
        for (const std::string& target : targets->values) {
            const NamePatterns pattern({target}, prefix_of(targets->place) + "targets");
            const bool known =
                std::any_of(spec.units.begin(), spec.units.end(),
                            [&](const UnitSpec& unit) { return pattern.has(spec, unit); });
            if (!known) {
                throw UsageError(prefix_of(targets->place) + "targets " +
                                 describe_bad_target(target, pattern, spec));
            }
        }
    }
}

}  // namespace lathe
