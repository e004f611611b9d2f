#include "methods/ffsplit.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "lib/core/errors.hpp"
#include "methods/ffsplit_solver.hpp"
#include "methods/setting_keys.hpp"

namespace lathe {
namespace {

constexpr std::string_view own_name = "ffsplit";
constexpr std::string_view dropped = "dropped";
constexpr std::array<std::string_view, 2> part_names = {"heavy", "light"};

std::optional<std::string> read_interval(const std::string& text) {
    return read_whole_number(text, 1, 1U << 20U);
}

constexpr std::array<SettingKey, 2> keys = {{
    {"heavy_fraction", "0.25", read_fraction, "a number above 0 and below 1"},
    {"round_interval", "64", read_interval, "a positive whole number"},
}};

[[noreturn]] void refuse(const SourcePlace& place, const std::string& what) {
    throw UsageError((place.text.empty() ? "" : place.text + ": ") + what);
}

// ---- settings --------------------------------------------------------------------------------

std::string prefix_of(std::string_view part) {
    return std::string(part) + ".";
}

void put_part(std::string_view part, const Setting& own, Setting& setting) {
    setting.values[prefix_of(part) + "method"] = own.method;
    for (const auto& [key, value] : own.values) {
        setting.values[prefix_of(part) + key] = value;
    }
}

Setting take_part(std::string_view part, const Setting& setting) {
    const std::string prefix = prefix_of(part);
    Setting own;
    for (const auto& [key, value] : setting.values) {
        if (key.starts_with(prefix)) {
            own.values.emplace(key.substr(prefix.size()), value);
        }
    }
    own.method = own.values.at("method");
    own.values.erase("method");
    return own;
}

/// What a part may be if the job does not say.
std::vector<CandidateEntry> default_entries(std::string_view part, const SourcePlace& place) {
    const auto entry = [&](const char* method, std::vector<CandidateEntry::Key> values) {
        return CandidateEntry{method, std::move(values), place};
    };
    if (part == "heavy") {
        return {entry("integer", {{"num_bits", {"8"}, place}, {"solver", {"rtn"}, place}})};
    }
    return {entry("integer", {{"num_bits", {"2", "3", "4"}, place}}), entry("low_rank", {})};
}

std::vector<CandidateEntry> entries_of(const CandidateEntry& entry, std::string_view part) {
    const auto key = std::ranges::find(entry.keys, part, &CandidateEntry::Key::name);
    if (key == entry.keys.end()) {
        return default_entries(part, entry.place);
    }
    std::vector<CandidateEntry> entries = key->entries;
    for (const std::string& method : key->values) {
        entries.push_back({method, {}, key->place});
    }
    return entries;
}

std::vector<Setting> expand_part(const CandidateEntry& entry, std::string_view part) {
    std::vector<Setting> settings;
    for (const CandidateEntry& own : entries_of(entry, part)) {
        if (own.method == dropped) {
            if (part == "heavy" || !own.keys.empty()) {
                refuse(own.place, part == "heavy" ? "the heavy part of a split cannot be dropped"
                                                  : "a part that is dropped has no keys");
            }
            settings.push_back({std::string(dropped), {}});
            continue;
        }
        if (own.method == own_name) {
            refuse(own.place, "a part of a split cannot be split again");
        }
        for (const CandidateEntry::Key& key : own.keys) {
            if (key.name == targets_key) {
                refuse(key.place, "targets is a key of the whole candidate, not of its parts");
            }
        }
        const std::vector<Setting> expanded = find_method(own.method, own.place.text).expand(own);
        settings.insert(settings.end(), expanded.begin(), expanded.end());
    }
    return settings;
}

std::vector<Setting> expand(const CandidateEntry& entry) {
    CandidateEntry own = entry;
    std::erase_if(own.keys, [](const CandidateEntry::Key& key) {
        return std::ranges::count(part_names, key.name) > 0;
    });
    if (std::ranges::find(own.keys, keys.front().name, &CandidateEntry::Key::name) ==
        own.keys.end()) {
        own.keys.push_back({std::string(keys.front().name), {"0.125", "0.25"}, entry.place});
    }
    const std::vector<Setting> heavy = expand_part(entry, "heavy");
    const std::vector<Setting> light = expand_part(entry, "light");
    std::vector<Setting> settings;
    for (const Setting& sizes : expand_keys(own, keys)) {
        for (const Setting& of_heavy : heavy) {
            for (const Setting& of_light : light) {
                Setting& setting = settings.emplace_back(sizes);
                put_part("heavy", of_heavy, setting);
                put_part("light", of_light, setting);
            }
        }
    }
    return settings;
}

/// The axis along which the neurons stand in the tensors of a unit; none: it is not of a
/// feed-forward layer.
std::optional<SplitAxis> axis_of(const ModelSpec& spec, const UnitSpec& unit) {
    const auto all_are = [&](std::initializer_list<Role> roles) {
        return std::ranges::all_of(unit.tensors, [&](std::size_t t) {
            return std::ranges::count(roles, spec.tensors[t].role) > 0;
        });
    };
    if (all_are({Role::gate_proj, Role::up_proj, Role::gate_up_proj})) {
        return SplitAxis::rows;
    }
    return all_are({Role::down_proj}) ? std::optional(SplitAxis::columns) : std::nullopt;
}

Setting for_unit(const Setting& setting, const ModelSpec& spec, const UnitSpec& unit) {
    const auto axis = axis_of(spec, unit);
    if (!axis) {
        return setting;
    }
    const auto neurons = static_cast<double>(spec.intermediate_size);
    const double fraction = std::stod(setting_value(setting, "heavy_fraction"));
    const std::uint64_t interval = std::stoull(setting_value(setting, "round_interval"));
    const auto intervals =
        static_cast<std::uint64_t>(std::lround(fraction * neurons / static_cast<double>(interval)));
    const bool is_fused = spec.tensors[unit.tensors.front()].role == Role::gate_up_proj;
    Setting own = setting;
    own.values.erase("heavy_fraction");
    own.values.erase("round_interval");
    own.values["axis"] = *axis == SplitAxis::rows ? "rows" : "columns";
    own.values["neurons"] = std::to_string(spec.intermediate_size);
    own.values["heavy"] = std::to_string(intervals * interval);
    own.values["layers"] = is_fused ? "2" : "1";
    return own;
}

FfSplit split_of(const Setting& setting) {
    const auto number = [&](const char* key) {
        return static_cast<std::size_t>(std::stoull(setting_value(setting, key)));
    };
    FfSplit split;
    split.axis = setting_value(setting, "axis") == "rows" ? SplitAxis::rows : SplitAxis::columns;
    split.neurons = number("neurons");
    split.heavy = number("heavy");
    split.layers = number("layers");
    split.heavy_setting = take_part("heavy", setting);
    if (const Setting light = take_part("light", setting); light.method != dropped) {
        split.light_setting = light;
    }
    return split;
}

// ---- the row of the table --------------------------------------------------------------------

/// Sums up visit(method, setting, shape) over the parts that are not dropped.
template <class Visit>
auto sum_over_parts(const Setting& setting, const Shape& shape, const Visit& visit) {
    const FfSplit split = split_of(setting);
    decltype(visit(method_table().front(), setting, shape)) sum = 0;
    for (const FfSplit::Range& range : split.ranges()) {
        if (const Setting* part = split.setting_of(range)) {
            sum += visit(find_method(part->method, ""), *part, split.shape_of(range, shape));
        }
    }
    return sum;
}

std::uint64_t bytes(const Setting& setting, const Shape& shape, DType source_dtype) {
    return sum_over_parts(setting, shape,
                          [&](const MethodRow& method, const Setting& part, const Shape& own) {
                              return method.bytes(part, own, source_dtype);
                          });
}

double flops(const Setting& setting, const Shape& shape) {
    return sum_over_parts(setting, shape,
                          [&](const MethodRow& method, const Setting& part, const Shape& own) {
                              return method.flops(part, own);
                          });
}

ContainerParts container(const Setting& setting) {
    const FfSplit split = split_of(setting);
    ContainerParts sum;
    for (const FfSplit::Range& range : split.ranges()) {
        ++sum.groups;
        if (const Setting* part = split.setting_of(range)) {
            const ContainerParts own = container_parts(*part);
            sum.groups += own.groups;
            sum.datasets += own.datasets + 1;
        }
    }
    return sum;
}

std::string refuses(const Setting& setting, const UnitSpec& unit, const Shape& shape,
                    DType source_dtype) {
    if (!setting.values.contains("axis")) {
        return "unit " + unit.name + " is no part of a feed-forward layer, which ffsplit is for";
    }
    const FfSplit split = split_of(setting);
    if (split.heavy == 0 || split.heavy >= split.neurons) {
        return "heavy_fraction and round_interval put " + std::to_string(split.heavy) + " of the " +
               std::to_string(split.neurons) + " neurons of unit " + unit.name +
               " into the heavy part, which leaves one of the two parts empty";
    }
    for (const FfSplit::Range& range : split.ranges()) {
        const Setting* part = split.setting_of(range);
        if (part == nullptr) {
            continue;
        }
        const std::string reason =
            find_method(part->method, "")
                .refuses(*part, unit, split.shape_of(range, shape), source_dtype);
        if (!reason.empty()) {
            return std::string(range.is_heavy ? "heavy" : "light") + " part: " + reason;
        }
    }
    return "";
}

std::string tie(const Setting& setting) {
    const bool ties = setting.values.contains("axis") && !split_of(setting).light_setting;
    return ties ? setting_value(setting, "heavy") + " neurons" : "";
}

std::vector<UnitSolution> solve(std::span<const Setting> settings,
                                std::span<const UnitTensor> tensors,
                                const UnitStatistics& statistics, const kernels::Backend& backend) {
    std::vector<FfSplit> splits;
    std::ranges::transform(settings, std::back_inserter(splits), split_of);
    return solve_ffsplit(splits, tensors, statistics, backend);
}

}  // namespace

MethodRow ffsplit_method() {
    MethodRow row{own_name, expand, bytes, flops, refuses, solve};
    row.for_unit = for_unit;
    row.container = container;
    row.tie = tie;
    row.orders_neurons = true;
    return row;
}

}  // namespace lathe
