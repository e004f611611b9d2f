#include "lib/tokenizer/json_place.hpp"

#include <limits>
#include <utility>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "lib/core/utf8.hpp"
#include "lib/tokenizer/unicode.hpp"

namespace lathe::tokenizer {
namespace {

/// The value for a message, cut when it is long.
std::string quote(const nlohmann::json& value) {
    constexpr std::size_t longest = 60;
    if (value.is_object()) return "an object";
    if (value.is_array()) return "a list";
    const std::string text = value.dump();
    if (text.size() <= longest) return text;
    // Cutting may break a code point; the repair makes the message printable again.
    return repair_utf8(text.substr(0, longest)) + "...";
}

}  // namespace

JsonPlace::JsonPlace(const nlohmann::json& value, const std::string& file, std::string path)
    : value_(&value), file_(&file), path_(std::move(path)) {}

bool JsonPlace::is_null() const {
    return value_->is_null();
}

bool JsonPlace::is_list() const {
    return value_->is_array();
}

bool JsonPlace::is_object() const {
    return value_->is_object();
}

bool JsonPlace::is_string() const {
    return value_->is_string();
}

JsonPlace JsonPlace::at(std::string_view key) const {
    if (!value_->is_object()) fail_type("an object");
    const auto member = value_->find(std::string(key));
    if (member == value_->end()) fail("\"" + std::string(key) + "\" is missing");
    return {*member, *file_, path_.empty() ? std::string(key) : path_ + "." + std::string(key)};
}

std::optional<JsonPlace> JsonPlace::find(std::string_view key) const {
    if (!value_->is_object()) fail_type("an object");
    const auto member = value_->find(std::string(key));
    if (member == value_->end() || member->is_null()) return std::nullopt;
    return at(key);
}

std::vector<JsonPlace> JsonPlace::items() const {
    if (!value_->is_array()) fail_type("a list");
    std::vector<JsonPlace> places;
    for (std::size_t i = 0; i < value_->size(); ++i) {
        places.emplace_back((*value_)[i], *file_, path_ + "[" + std::to_string(i) + "]");
    }
    return places;
}

const std::string& JsonPlace::string() const {
    if (!value_->is_string()) fail_type("a string");
    return value_->get_ref<const std::string&>();
}

bool JsonPlace::boolean() const {
    if (!value_->is_boolean()) fail_type("true or false");
    return value_->get<bool>();
}

std::uint32_t JsonPlace::integer() const {
    // A parser gives unsigned numbers, values made here are signed.
    const bool is_negative = value_->is_number_integer() && !value_->is_number_unsigned() &&
                             value_->get<std::int64_t>() < 0;
    if (!value_->is_number_integer() || is_negative ||
        value_->get<std::uint64_t>() > std::numeric_limits<std::uint32_t>::max()) {
        fail_type("a whole number below 2^32");
    }
    return value_->get<std::uint32_t>();
}

char32_t JsonPlace::character() const {
    const std::string& text = string();
    if (count_code_points(text) != 1) fail_type("a string of one character");
    std::size_t position = 0;
    return next_code_point(text, position);
}

std::string JsonPlace::string_or(std::string_view key, std::string_view fallback) const {
    const std::optional<JsonPlace> member = find(key);
    return member ? member->string() : std::string(fallback);
}

bool JsonPlace::boolean_or(std::string_view key, bool fallback) const {
    const std::optional<JsonPlace> member = find(key);
    return member ? member->boolean() : fallback;
}

void JsonPlace::fail(const std::string& problem) const {
    throw DataError(*file_ + ": " + (path_.empty() ? "" : path_ + ": ") + problem);
}

void JsonPlace::fail_type(std::string_view expected) const {
    fail("found " + quote(*value_) + ", expected " + std::string(expected));
}

}  // namespace lathe::tokenizer
