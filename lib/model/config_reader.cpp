#include "lib/model/config_reader.hpp"

#include <cmath>
#include <cstdio>
#include <utility>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "lib/model/config_defaults.hpp"

namespace lathe {
namespace {

using nlohmann::json;

/// The value as JSON, short enough for a message and plain ASCII whatever the file holds.
std::string shown(const json& value) {
    constexpr std::size_t longest = 80;
    std::string text = value.dump(-1, ' ', true);
    if (text.size() > longest) text = text.substr(0, longest) + "...";
    return text;
}

std::string shown(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%g", value);
    return text;
}

std::string described(IntegerRange range) {
    return "an integer from " + std::to_string(range.low) + " to " + std::to_string(range.high);
}

std::string described(NumberRange range) {
    if (range.high == std::numeric_limits<double>::max())
        return "a number of at least " + shown(range.low);
    return "a number from " + shown(range.low) + " to " + shown(range.high);
}

/// None: not an integer of the range.
std::optional<std::uint64_t> as_integer(const json& value, IntegerRange range) {
    if (value.is_number_float()) {
        // Programs that pass numbers through floats write 4096.0; beyond 2^53 a float is no count.
        constexpr double largest = 9007199254740992.0;
        const auto number = value.get<double>();
        if (!(number >= 0.0 && number <= largest) || number != std::floor(number))
            return std::nullopt;
        return as_integer(static_cast<std::uint64_t>(number), range);
    }
    if (!value.is_number_integer()) return std::nullopt;
    if (!value.is_number_unsigned() && value.get<std::int64_t>() < 0) return std::nullopt;
    const auto number = value.get<std::uint64_t>();
    if (number < range.low || number > range.high) return std::nullopt;
    return number;
}

}  // namespace

ConfigReader::ConfigReader(const json& object, std::string where, std::string parent)
    : object_(&object), where_(std::move(where)), parent_(std::move(parent)) {
    if (!object.is_object())
        throw DataError(where_ + ": expected a JSON object, found " + object.type_name());
}

void ConfigReader::assume_defaults(std::string_view family) {
    (void)config_defaults(family);
    family_ = family;
}

const json* ConfigReader::written(std::string_view key) const {
    if (!family_.empty()) {
        const auto other = object_->find(other_name(family_, key));
        if (other != object_->end() && !other->is_null()) return &*other;
    }
    const auto entry = object_->find(key);
    return entry == object_->end() ? nullptr : &*entry;
}

const json* ConfigReader::find(std::string_view key) const {
    const json* value = written(key);
    if (!family_.empty()) {
        const json& defaults = config_defaults(family_);
        const auto entry = defaults.find(key);
        if (entry == defaults.end())
            throw InternalError("no default for \"" + std::string(key) + "\" of " + family_);
        if (!value) value = &*entry;
    }
    return !value || value->is_null() ? nullptr : value;
}

bool ConfigReader::has(std::string_view key) const {
    const json* value = written(key);
    return value && !value->is_null();
}

std::size_t ConfigReader::size() const {
    return object_->size();
}

std::vector<std::string> ConfigReader::nested() const {
    std::vector<std::string> names;
    for (const auto& [name, value] : object_->items())
        if (value.is_object()) names.push_back(name);
    return names;
}

std::string ConfigReader::message(std::string_view key, const std::string& expected) const {
    const json* own = written(key);
    const json* value = family_.empty() ? own : find(key);
    std::string found = "missing";
    if (own) {
        found = shown(*own);
    } else if (value) {
        found = shown(*value) + ", the default";
    }
    return "\"" + parent_ + std::string(key) + "\" is " + found + "; expected " + expected;
}

void ConfigReader::refuse(std::string_view key, const std::string& expected) const {
    throw DataError(where_ + ": " + message(key, expected));
}

void ConfigReader::unsupported(std::string_view key, const std::string& expected) const {
    unsupported(message(key, expected));
}

void ConfigReader::unsupported(const std::string& message) const {
    if (!unsupported_) throw DataError(where_ + ": " + message);
    unsupported_->push_back(message);
}

std::optional<std::size_t> ConfigReader::optional_integer(std::string_view key,
                                                          IntegerRange range) const {
    const json* value = find(key);
    if (!value) return std::nullopt;
    const auto number = as_integer(*value, range);
    if (!number) refuse(key, described(range));
    return static_cast<std::size_t>(*number);
}

std::size_t ConfigReader::integer(std::string_view key, IntegerRange range) const {
    const auto value = optional_integer(key, range);
    if (!value) refuse(key, described(range));
    return *value;
}

std::optional<double> ConfigReader::optional_number(std::string_view key, NumberRange range) const {
    const json* value = find(key);
    if (!value) return std::nullopt;
    if (!value->is_number()) refuse(key, described(range));
    const auto number = value->get<double>();
    if (!(number >= range.low && number <= range.high)) refuse(key, described(range));
    return number;
}

double ConfigReader::number(std::string_view key, NumberRange range) const {
    const auto value = optional_number(key, range);
    if (!value) refuse(key, described(range));
    return *value;
}

bool ConfigReader::boolean(std::string_view key) const {
    const json* value = find(key);
    if (!value) return false;
    if (!value->is_boolean()) refuse(key, "true or false");
    return value->get<bool>();
}

std::optional<std::string> ConfigReader::optional_string(std::string_view key) const {
    const json* value = find(key);
    if (!value) return std::nullopt;
    if (!value->is_string()) refuse(key, "a string");
    return value->get<std::string>();
}

std::string ConfigReader::string(std::string_view key) const {
    auto value = optional_string(key);
    if (!value) refuse(key, "a string");
    return *std::move(value);
}

std::vector<std::uint32_t> ConfigReader::token_ids(std::string_view key) const {
    const json* value = find(key);
    if (!value) return {};
    std::vector<std::uint32_t> ids;
    const auto add = [&](const json& item) {
        const auto id = as_integer(item, IntegerRange{});
        if (!id) refuse(key, "a token id or a list of token ids");
        ids.push_back(static_cast<std::uint32_t>(*id));
    };
    if (!value->is_array()) {
        add(*value);
    } else {
        for (const json& item : *value) add(item);
    }
    return ids;
}

std::vector<std::string> ConfigReader::strings(std::string_view key) const {
    const json* value = find(key);
    if (!value) return {};
    if (!value->is_array()) refuse(key, "a list of strings");
    std::vector<std::string> texts;
    for (const json& item : *value) {
        if (!item.is_string()) refuse(key, "a list of strings");
        texts.push_back(item.get<std::string>());
    }
    return texts;
}

std::optional<ConfigReader> ConfigReader::object(std::string_view key) const {
    const json* value = find(key);
    if (!value) return std::nullopt;
    if (!value->is_object()) refuse(key, "an object");
    ConfigReader reader(*value, where_, parent_ + std::string(key) + ".");
    reader.list_unsupported(unsupported_);
    return reader;
}

}  // namespace lathe
