#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <system_error>

#include "lib/config/yaml_reader.hpp"
#include "lib/core/edit_distance.hpp"

namespace lathe {
namespace {

/// The closest of `known`, the first of equals, at most two edits away; else nothing.
std::optional<std::string> close_key(const std::string& key,
                                     const std::vector<std::string>& known) {
    std::optional<std::string> best;
    std::size_t best_distance = 3;
    for (const std::string& candidate : known) {
        const std::size_t distance = edit_distance(key, candidate);
        // Two edits turn any two-letter key into any other; that is no likeness.
        if (distance < best_distance && distance < std::min(key.size(), candidate.size())) {
            best = candidate;
            best_distance = distance;
        }
    }
    return best;
}

[[noreturn]] void refuse_value(const YamlValue& value, const std::string& name,
                               const std::string& expected) {
    refuse_at(value.place, name + " is " + describe(value) + "; expected " + expected);
}

template <typename T>
std::optional<T> parse_number(const YamlValue& value) {
    if (value.kind != YamlValue::Kind::text || value.quoted) {
        return std::nullopt;
    }
    T number{};
    const char* const end = value.text.data() + value.text.size();
    const auto [rest, error] = std::from_chars(value.text.data(), end, number);
    if (error != std::errc{} || rest != end) {
        return std::nullopt;
    }
    return number;
}

std::string shortest(double value) {
    char buffer[32];
    return {buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr};
}

}  // namespace

std::string describe(const YamlValue& value) {
    switch (value.kind) {
        case YamlValue::Kind::null:
            return "nothing";
        case YamlValue::Kind::list:
            return "a list";
        case YamlValue::Kind::map:
            return "a map";
        case YamlValue::Kind::text:
            break;
    }
    return (value.quoted ? "the quoted text \"" : "\"") + value.text + "\"";
}

std::string text_of(const YamlValue& value, const std::string& name) {
    if (value.kind != YamlValue::Kind::text || value.text.empty()) {
        refuse_value(value, name, "a text");
    }
    return value.text;
}

double number_of(const YamlValue& value, const std::string& name) {
    const auto number = parse_number<double>(value);
    if (!number || !std::isfinite(*number)) {
        refuse_value(value, name, "a number");
    }
    return *number;
}

MapReader::MapReader(const YamlValue* value, std::string path) : path_(std::move(path)) {
    if (value == nullptr || value->kind == YamlValue::Kind::null) {
        return;
    }
    if (value->kind != YamlValue::Kind::map) {
        refuse_value(*value, path_.empty() ? "the job" : path_, "a map of keys");
    }
    map_ = value;
}

std::string MapReader::path_of(std::string_view key) const {
    return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
}

const YamlValue* MapReader::find(std::string_view key) {
    if (std::find(known_.begin(), known_.end(), key) == known_.end()) {
        known_.emplace_back(key);
    }
    if (map_ == nullptr) {
        return nullptr;
    }
    const auto found = std::find_if(map_->entries.begin(), map_->entries.end(),
                                    [&](const YamlValue::Entry& e) { return e.key == key; });
    return found == map_->entries.end() ? nullptr : &found->value;
}

void MapReader::read_text(std::string_view key, std::string& out) {
    if (const YamlValue* value = find(key)) {
        out = text_of(*value, path_of(key));
    }
}

void MapReader::read_path(std::string_view key, std::filesystem::path& out) {
    if (const YamlValue* value = find(key)) {
        out = text_of(*value, path_of(key));
    }
}

void MapReader::read_whole(std::string_view key, std::uint64_t& out, std::uint64_t low,
                           std::uint64_t high) {
    const YamlValue* value = find(key);
    if (value == nullptr) {
        return;
    }
    const auto number = parse_number<std::uint64_t>(*value);
    if (!number || *number < low || *number > high) {
        refuse_value(*value, path_of(key),
                     "a whole number from " + std::to_string(low) + " to " + std::to_string(high));
    }
    out = *number;
}

void MapReader::read_positive(std::string_view key, double& out, double high) {
    const YamlValue* value = find(key);
    if (value == nullptr) {
        return;
    }
    const auto number = parse_number<double>(*value);
    if (!number || !(*number > 0.0) || !(*number <= high)) {
        refuse_value(*value, path_of(key), "a number above 0, at most " + shortest(high));
    }
    out = *number;
}

void MapReader::read_share(std::string_view key, double& out, double low, double end) {
    const YamlValue* value = find(key);
    if (value == nullptr) {
        return;
    }
    const auto number = parse_number<double>(*value);
    if (!number || !(*number >= low) || !(*number < end)) {
        refuse_value(*value, path_of(key),
                     "a number from " + shortest(low) + " to below " + shortest(end));
    }
    out = *number;
}

void MapReader::read_flag(std::string_view key, bool& out) {
    constexpr std::array<std::string_view, 2> names{"false", "true"};
    std::size_t place = out ? 1 : 0;
    read_choice(key, place, names);
    out = place == 1;
}

void MapReader::read_choice(std::string_view key, std::size_t& out,
                            std::span<const std::string_view> names) {
    const YamlValue* value = find(key);
    if (value == nullptr) {
        return;
    }
    const auto found = value->kind == YamlValue::Kind::text
                           ? std::ranges::find(names, std::string_view(value->text))
                           : names.end();
    if (found == names.end()) {
        std::string known;
        for (std::size_t i = 0; i < names.size(); ++i) {
            known += (i == 0 ? "" : i + 1 == names.size() ? " or " : ", ") + std::string(names[i]);
        }
        refuse_value(*value, path_of(key), known);
    }
    out = static_cast<std::size_t>(found - names.begin());
}

void MapReader::read_texts(std::string_view key, std::vector<std::string>& out) {
    const YamlValue* value = find(key);
    if (value == nullptr) {
        return;
    }
    if (value->kind != YamlValue::Kind::list) {
        refuse_value(*value, path_of(key), "a list of texts");
    }
    out.clear();
    for (const YamlValue& item : value->items) {
        out.push_back(text_of(item, "an item of " + path_of(key)));
    }
}

void MapReader::read_paths(std::string_view key, std::vector<std::filesystem::path>& out) {
    const YamlValue* value = find(key);
    if (value == nullptr) {
        return;
    }
    if (value->kind != YamlValue::Kind::list) {
        if (value->kind != YamlValue::Kind::text || value->text.empty()) {
            refuse_value(*value, path_of(key), "a path or a list of paths");
        }
        out = {value->text};
        return;
    }
    out.clear();
    for (const YamlValue& item : value->items) {
        out.emplace_back(text_of(item, "an item of " + path_of(key)));
    }
}

void MapReader::finish() const {
    if (map_ == nullptr) {
        return;
    }
    for (const YamlValue::Entry& entry : map_->entries) {
        if (std::find(known_.begin(), known_.end(), entry.key) != known_.end()) {
            continue;
        }
        std::string message = "unknown key \"" + entry.key + "\"";
        if (!path_.empty()) {
            message += " in " + path_;
        }
        if (const auto close = close_key(entry.key, known_)) {
            message += "; did you mean \"" + *close + "\"?";
        } else {
            message += ";";
        }
        message += " valid keys: ";
        for (std::size_t i = 0; i < known_.size(); ++i) {
            message += (i == 0 ? "" : ", ") + known_[i];
        }
        refuse_at(entry.place, message);
    }
}

}  // namespace lathe
