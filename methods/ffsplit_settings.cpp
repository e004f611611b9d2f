#include "methods/ffsplit_settings.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "lib/config/yaml_reader.hpp"
#include "methods/setting_keys.hpp"

namespace lathe {
namespace {

constexpr std::string_view own_name = "ffsplit";
constexpr std::string_view dropped = "dropped";
constexpr std::array<std::string_view, 2> part_names = {"heavy", "light"};

std::optional<std::string> read_interval(const std::string& text) {
    return read_whole_number(text, 1, 1U << 20U);
}

constexpr std::array<SettingKey, 3> keys = {{
    {"heavy_fraction", "0.25", read_fraction, "a number above 0 and below 1"},
    {"heavy_energy", "", read_fraction, "a number above 0 and below 1"},
    {"round_interval", "64", read_interval, "a positive whole number"},
}};

std::string part_prefix(std::string_view part) {
    return std::string(part) + ".";
}

void put_part(std::string_view part, const Setting& own, Setting& setting) {
    setting.values[part_prefix(part) + "method"] = own.method;
    for (const auto& [key, value] : own.values) {
        setting.values[part_prefix(part) + key] = value;
    }
}

Setting take_part(std::string_view part, const Setting& setting) {
    const std::string prefix = part_prefix(part);
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
                refuse_at(own.place, part == "heavy" ? "the heavy part of a split cannot be dropped"
                                                     : "a part that is dropped has no keys");
            }
            settings.push_back({std::string(dropped), {}});
            continue;
        }
        if (own.method == own_name) {
            refuse_at(own.place, "a part of a split cannot be split again");
        }
        for (const CandidateEntry::Key& key : own.keys) {
            if (key.name == targets_key) {
                refuse_at(key.place, "targets is a key of the whole candidate, not of its parts");
            }
        }
        const std::vector<Setting> expanded = find_method(own.method, own.place.text).expand(own);
        if (std::ranges::any_of(expanded, is_open)) {
            refuse_at(own.place,
                      "a part of a split cannot have a rank by error: its target is there "
                      "only when the other part is compressed; give rank or rank_fraction");
        }
        settings.insert(settings.end(), expanded.begin(), expanded.end());
    }
    return settings;
}

const CandidateEntry::Key* find_key(const CandidateEntry& entry, std::string_view name) {
    const auto found = std::ranges::find(entry.keys, name, &CandidateEntry::Key::name);
    return found == entry.keys.end() ? nullptr : &*found;
}

/// The settings of the keys that say how many neurons are heavy: by number or by energy.
std::vector<Setting> expand_sizes(const CandidateEntry& entry) {
    CandidateEntry own = entry;
    std::erase_if(own.keys, [](const CandidateEntry::Key& key) {
        return std::ranges::count(part_names, key.name) > 0;
    });
    const CandidateEntry::Key* by_energy = find_key(own, "heavy_energy");
    const CandidateEntry::Key* by_number = find_key(own, "heavy_fraction");
    if (by_energy != nullptr && by_number != nullptr) {
        refuse_at(std::max(by_energy, by_number)->place,
                  "heavy_fraction and heavy_energy both say how large the heavy part is; give one");
    }
    const std::string_view other = by_energy != nullptr ? "heavy_fraction" : "heavy_energy";
    if (by_energy == nullptr && by_number == nullptr) {
        own.keys.push_back({"heavy_fraction", {"0.125", "0.25"}, entry.place});
    }
    std::vector<Setting> settings = expand_keys(own, keys);
    for (Setting& setting : settings) {
        setting.values.erase(std::string(other));
    }
    return settings;
}

}  // namespace

std::vector<Setting> expand_ffsplit(const CandidateEntry& entry) {
    const std::vector<Setting> heavy = expand_part(entry, "heavy");
    const std::vector<Setting> light = expand_part(entry, "light");
    std::vector<Setting> settings;
    for (const Setting& sizes : expand_sizes(entry)) {
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

namespace {

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

/// `share` of the neurons, to the nearest multiple of the interval.
std::uint64_t by_number(double share, std::uint64_t neurons, std::uint64_t interval) {
    const double intervals = share * static_cast<double>(neurons) / static_cast<double>(interval);
    return static_cast<std::uint64_t>(std::lround(intervals)) * interval;
}

/// The fewest that hold `share` of the energy, up to a multiple of the interval.
std::uint64_t by_energy(double share, std::span<const double> held, std::uint64_t interval) {
    const auto enough = std::ranges::find_if(held, [&](double sum) { return sum >= share; });
    const auto count = static_cast<std::uint64_t>(enough - held.begin()) + 1;
    return std::min<std::uint64_t>((count + interval - 1) / interval * interval, held.size());
}

}  // namespace

Setting ffsplit_of_unit(const Setting& setting, const ModelSpec& spec, const UnitSpec& unit,
                        std::span<const double> held) {
    const auto axis = axis_of(spec, unit);
    if (!axis) {
        return setting;
    }
    const std::uint64_t neurons = spec.intermediate_size;
    const std::uint64_t interval = std::stoull(setting_value(setting, "round_interval"));
    const bool is_fused = spec.tensors[unit.tensors.front()].role == Role::gate_up_proj;
    Setting own = setting;
    own.values["axis"] = *axis == SplitAxis::rows ? "rows" : "columns";
    own.values["neurons"] = std::to_string(neurons);
    own.values["layers"] = is_fused ? "2" : "1";
    const auto energy = setting.values.find("heavy_energy");
    if (energy == setting.values.end()) {
        const double share = std::stod(setting_value(setting, "heavy_fraction"));
        own.values["heavy"] = std::to_string(by_number(share, neurons, interval));
        own.values.erase("heavy_fraction");
    } else if (held.empty()) {
        return own;
    } else {
        own.values["heavy"] = std::to_string(by_energy(std::stod(energy->second), held, interval));
    }
    own.values.erase("round_interval");
    return own;
}

std::vector<std::size_t> heavy_sizes(const Setting& setting) {
    if (const auto heavy = setting.values.find("heavy"); heavy != setting.values.end()) {
        return {static_cast<std::size_t>(std::stoull(heavy->second))};
    }
    const std::size_t neurons = std::stoull(setting_value(setting, "neurons"));
    const std::size_t interval = std::stoull(setting_value(setting, "round_interval"));
    std::vector<std::size_t> sizes;
    for (std::size_t size = interval; size < neurons; size += interval) {
        sizes.push_back(size);
    }
    return sizes;
}

FfSplit split_of(const Setting& setting, std::size_t heavy) {
    const auto number = [&](const char* key) {
        return static_cast<std::size_t>(std::stoull(setting_value(setting, key)));
    };
    FfSplit split;
    split.axis = setting_value(setting, "axis") == "rows" ? SplitAxis::rows : SplitAxis::columns;
    split.neurons = number("neurons");
    split.heavy = heavy;
    split.layers = number("layers");
    split.heavy_setting = take_part("heavy", setting);
    if (const Setting light = take_part("light", setting); light.method != dropped) {
        split.light_setting = light;
    }
    return split;
}

}  // namespace lathe
