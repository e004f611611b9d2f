#include "lib/model/config_reader.hpp"

#include <cstdio>
#include <utility>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"

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
    // What does not fit 64 bits was parsed as a float and is refused here.
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

const json* ConfigReader::find(std::string_view key) const {
    const auto entry = object_->find(key);
    return entry == object_->end() || entry->is_null() ? nullptr : &*entry;
}

bool ConfigReader::has(std::string_view key) const {
    return find(key) != nullptr;
}

bool ConfigReader::empty() const {
    return object_->empty();
}

void ConfigReader::refuse(std::string_view key, const std::string& expected) const {
    const json* value = find(key);
    throw DataError(where_ + ": \"" + parent_ + std::string(key) + "\" is " +
                    (value ? shown(*value) : "missing") + "; expected " + expected);
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

bool ConfigReader::boolean(std::string_view key, bool fallback) const {
    const json* value = find(key);
    if (!value) return fallback;
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
        if (item == -1) return;  // how some programs write "none"
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
    return ConfigReader(*value, where_, parent_ + std::string(key) + ".");
}

}  // namespace lathe
