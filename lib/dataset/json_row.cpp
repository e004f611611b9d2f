#include "lib/dataset/json_row.hpp"

#include <utility>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "lib/dataset/message.hpp"

namespace lathe {
namespace {

using nlohmann::json;

std::string shown(const json& value) {
    if (value.is_object()) return "an object";
    if (value.is_array()) return "a list";
    return value.is_string() ? in_quotes(value.get_ref<const std::string&>()) : value.dump();
}

[[noreturn]] void refuse_type(const JsonRow& row, std::string_view key, const json& value,
                              std::string_view expected) {
    row.fail("\"" + std::string(key) + "\" is " + shown(value) + ", expected " +
             std::string(expected));
}

}  // namespace

JsonRow::JsonRow(const json& object, std::string place)
    : object_(&object), place_(std::move(place)) {
    if (!object.is_object()) fail("found " + shown(object) + ", expected a JSON object");
}

bool JsonRow::has(std::string_view key) const {
    return object_->contains(key);
}

std::string JsonRow::keys() const {
    std::vector<std::string_view> names;
    for (const auto& [name, value] : object_->items()) names.push_back(name);
    return listed(names);
}

std::string JsonRow::text(std::string_view key) const {
    const json& value = at(key);
    if (!value.is_string()) refuse_type(*this, key, value, "a string");
    return value.get<std::string>();
}

std::vector<std::string> JsonRow::texts(std::string_view key) const {
    const json& value = at(key);
    if (!value.is_array()) refuse_type(*this, key, value, "a list of strings");
    std::vector<std::string> texts;
    for (const json& element : value) {
        if (!element.is_string()) {
            fail("\"" + std::string(key) + "\" has the element " + shown(element) +
                 ", expected a string");
        }
        texts.push_back(element.get<std::string>());
    }
    return texts;
}

JsonRow JsonRow::object(std::string_view key) const {
    const json& value = at(key);
    if (!value.is_object()) refuse_type(*this, key, value, "an object");
    return {value, place_ + ": \"" + std::string(key) + "\""};
}

std::string JsonRow::text_or_integer(std::string_view key) const {
    const json& value = at(key);
    if (value.is_number_integer()) return value.dump();
    if (!value.is_string()) refuse_type(*this, key, value, "a string or a whole number");
    return value.get<std::string>();
}

void JsonRow::fail(const std::string& problem) const {
    throw DataError(place_ + ": " + problem);
}

const json& JsonRow::at(std::string_view key) const {
    const auto member = object_->find(key);
    if (member == object_->end()) fail("\"" + std::string(key) + "\" is missing");
    return *member;
}

}  // namespace lathe
