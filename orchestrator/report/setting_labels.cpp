#include "orchestrator/report/setting_labels.hpp"

#include <optional>

#include "lib/core/errors.hpp"
#include "lib/job/candidate.hpp"

namespace lathe::report {
namespace {

constexpr std::string_view uniform_prefix = "homogeneous ";

std::string without_prefix(const std::string& text) {
    return text.starts_with(uniform_prefix) ? text.substr(uniform_prefix.size()) : text;
}

std::optional<Setting> parse(const std::string& text) {
    try {
        return setting_from_string(without_prefix(text));
    } catch (const Error&) {
        return std::nullopt;  // not a setting: "search by relative error"
    }
}

std::string short_value(const std::string& key, const std::string& value) {
    if (key == "num_bits") {
        return value + (value == "1" ? " bit" : " bits");
    }
    if (key == "group_size") {
        return "g" + value;
    }
    return key == "solver" || key == "pattern" || key == "mask" ? value : key + "=" + value;
}

}  // namespace

SettingLabels::SettingLabels(const RunFacts& facts) {
    for (const PlanFile& plan : facts.plans) {
        const Node units = plan.node()["units"];
        for (std::size_t u = 0; u < units.size(); ++u) {
            add(units.at(u)["setting"].text());
        }
        const Node considered = plan.node()["considered"];
        for (std::size_t p = 0; p < considered.size(); ++p) {
            const std::string origin = considered.at(p)["origin"].text();
            if (origin.starts_with(uniform_prefix)) {
                add(origin);
            }
        }
    }
}

void SettingLabels::add(const std::string& text) {
    if (const auto setting = parse(text)) {
        for (const auto& [key, value] : setting->values) {
            values_[setting->method][key].insert(value);
        }
    }
}

std::string SettingLabels::label(const std::string& text) const {
    const auto setting = parse(text);
    const auto method = setting ? values_.find(setting->method) : values_.end();
    if (method == values_.end()) {
        return setting && setting->values.empty() ? setting->method : text;
    }
    std::string label = setting->method;
    for (const auto& [key, value] : setting->values) {
        const auto found = method->second.find(key);
        const bool tells =
            key == "num_bits" || found == method->second.end() || found->second.size() > 1;
        label += tells ? " " + short_value(key, value) : "";
    }
    return label;
}

}  // namespace lathe::report
