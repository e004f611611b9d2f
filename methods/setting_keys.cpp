#include "methods/setting_keys.hpp"

#include <algorithm>
#include <charconv>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

std::string in_quotes(std::string_view text) {
    return '"' + std::string(text) + '"';
}

[[noreturn]] void refuse(const SourcePlace& place, const std::string& what) {
    throw UsageError(place.text.empty() ? what : place.text + ": " + what);
}

void require_known_keys(const CandidateEntry& entry, std::span<const SettingKey> keys) {
    for (std::size_t i = 0; i < entry.keys.size(); ++i) {
        const CandidateEntry::Key& key = entry.keys[i];
        const bool known = key.name == targets_key ||
                           std::any_of(keys.begin(), keys.end(),
                                       [&](const SettingKey& k) { return k.name == key.name; });
        if (!known) {
            std::string valid;
            for (const SettingKey& k : keys) {
                valid += std::string(k.name) + ", ";
            }
            valid += targets_key;
            refuse(key.place, "unknown key " + in_quotes(key.name) + " of method " + entry.method +
                                  "; keys are " + valid);
        }
        for (std::size_t before = 0; before < i; ++before) {
            if (entry.keys[before].name == key.name) {
                refuse(key.place, "key " + in_quotes(key.name) + " is given twice");
            }
        }
    }
}

/// The values of one key, canonical, in the order they were written.
std::vector<std::string> values_of(const CandidateEntry& entry, const SettingKey& key) {
    const auto given =
        std::find_if(entry.keys.begin(), entry.keys.end(),
                     [&](const CandidateEntry::Key& k) { return k.name == key.name; });
    if (given == entry.keys.end()) {
        return {std::string(key.default_value)};
    }
    if (given->values.empty()) {
        refuse(given->place, "key " + in_quotes(key.name) + " of method " + entry.method +
                                 " has no value; expected " + std::string(key.expected));
    }
    std::vector<std::string> values;
    for (const std::string& text : given->values) {
        std::optional<std::string> value = key.read(text);
        if (!value) {
            refuse(given->place, std::string(key.name) + " of method " + entry.method + " is " +
                                     in_quotes(text) + "; expected " + std::string(key.expected));
        }
        values.push_back(*std::move(value));
    }
    return values;
}

/// The whole text as a number, or nothing.
template <class T>
std::optional<T> number_in(const std::string& text) {
    T number{};
    const char* end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, number);
    if (text.empty() || result.ec != std::errc{} || result.ptr != end) {
        return std::nullopt;
    }
    return number;
}

}  // namespace

std::vector<Setting> expand_keys(const CandidateEntry& entry, std::span<const SettingKey> keys) {
    require_known_keys(entry, keys);
    std::vector<Setting> settings = {Setting{entry.method, {}}};
    for (const SettingKey& key : keys) {
        std::vector<Setting> longer;
        const std::vector<std::string> values = values_of(entry, key);
        for (const Setting& setting : settings) {
            for (const std::string& value : values) {
                longer.push_back(setting);
                longer.back().values.emplace(key.name, value);
            }
        }
        settings = std::move(longer);
    }
    return settings;
}

std::optional<std::string> read_whole_number(const std::string& text, std::uint64_t lowest,
                                             std::uint64_t highest) {
    const auto number = number_in<std::uint64_t>(text);
    if (!number || *number < lowest || *number > highest) {
        return std::nullopt;
    }
    return std::to_string(*number);
}

std::optional<std::string> read_flag(const std::string& text) {
    if (text == "true" || text == "false") {
        return text;
    }
    return std::nullopt;
}

std::optional<std::string> read_word(const std::string& text,
                                     std::span<const std::string_view> words) {
    if (std::find(words.begin(), words.end(), text) == words.end()) {
        return std::nullopt;
    }
    return text;
}

std::optional<std::string> read_fraction(const std::string& text) {
    const auto number = number_in<double>(text);
    if (!number || !(*number > 0.0) || !(*number < 1.0)) {
        return std::nullopt;
    }
    char spelling[32];
    return std::string(spelling, std::to_chars(spelling, spelling + sizeof spelling, *number).ptr);
}

const std::string& setting_value(const Setting& setting, const std::string& key) {
    const auto found = setting.values.find(key);
    if (found == setting.values.end()) {
        throw InternalError("setting \"" + to_string(setting) + "\" has no key \"" + key + "\"");
    }
    return found->second;
}

}  // namespace lathe
