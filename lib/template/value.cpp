#include "lib/template/value.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "lib/template/work.hpp"
#include "lib/tokenizer/unicode.hpp"

namespace lathe::jinja {
namespace {

using SequencePointer = std::shared_ptr<const Sequence>;
using DictPointer = std::shared_ptr<const Dict>;

/// What goes through a value calls itself once a level.
constexpr std::size_t deepest_value = 200;

/// Of something that holds `value`.
std::size_t depth_around(const Value& value) {
    require_part(value);
    const Sequence* sequence = value.as_sequence();
    const Dict* dict = value.as_dict();
    const std::size_t depth = 1 + (sequence != nullptr ? sequence->depth
                                   : dict != nullptr   ? dict->depth
                                                       : 0);
    if (depth > deepest_value) {
        throw DataError("more than " + std::to_string(deepest_value) +
                        " lists and mappings within one another");
    }
    return depth;
}

std::size_t depth_of(const List& items) {
    Work::spend_on_list(items.size());
    std::size_t depth = 0;
    for (const Value& item : items) depth = std::max(depth, depth_around(item));
    return depth;
}

Dict with_depth(Dict dict) {
    Work::spend_on_list(dict.items.size());
    for (const auto& [key, value] : dict.items) {
        dict.depth = std::max({dict.depth, depth_around(key), depth_around(value)});
    }
    return dict;
}

SequencePointer sequence_of(List items, bool is_tuple) {
    const std::size_t depth = depth_of(items);
    return std::make_shared<const Sequence>(Sequence{std::move(items), is_tuple, depth});
}

[[noreturn]] void refuse(const Value& value, const char* expected) {
    if (const auto* undefined = value.as<Value::Undefined>()) {
        throw DataError("'" + undefined->name + "' is undefined");
    }
    throw DataError("found " + std::string(value.kind()) + " " + value.quoted() + ", expected " +
                    expected);
}

/// As Python writes floats: the shortest text that reads back, with a point or an exponent.
std::string text_of(double value) {
    if (std::isnan(value)) return "nan";
    if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
    char buffer[64];
    const double size = std::abs(value);
    const bool is_plain = size == 0.0 || (size >= 1e-4 && size < 1e16);
    const auto end =
        std::to_chars(buffer, buffer + sizeof buffer, value,
                      is_plain ? std::chars_format::fixed : std::chars_format::scientific);
    std::string text(buffer, end.ptr);
    if (is_plain && text.find('.') == std::string::npos) text += ".0";
    return text;
}

std::string quoted_string(const std::string& text) {
    const bool has_single = text.find('\'') != std::string::npos;
    const bool has_double = text.find('"') != std::string::npos;
    const char quote = has_single && !has_double ? '"' : '\'';
    std::string out(1, quote);
    for (const char c : text) {
        if (c == '\n') {
            out += "\\n";
        } else if (c == '\t') {
            out += "\\t";
        } else if (c == '\r') {
            out += "\\r";
        } else {
            if (c == quote || c == '\\') out += '\\';
            out += c;
        }
    }
    return out + quote;
}

std::string joined(const List& items) {
    std::string text;
    for (const Value& item : items) text += (text.empty() ? "" : ", ") + item.quoted();
    Work::spend_on_text(text.size());
    return text;
}

std::string quoted_dict(const Dict& dict) {
    std::string text;
    for (const auto& [key, value] : dict.items) {
        text += (text.empty() ? "" : ", ") + key.quoted() + ": " + value.quoted();
    }
    Work::spend_on_text(text.size());
    return "{" + text + "}";
}

}  // namespace

const Value* Dict::find(const Value& key) const {
    const auto found =
        std::ranges::find_if(items, [&](const auto& item) { return item.first == key; });
    return found == items.end() ? nullptr : &found->second;
}

void Dict::set(const Value& key, Value value) {
    const auto found =
        std::ranges::find_if(items, [&](const auto& item) { return item.first == key; });
    if (found != items.end()) {
        found->second = std::move(value);
    } else {
        items.emplace_back(key, std::move(value));
    }
}

const Value* Arguments::find(std::size_t place, std::string_view name) const {
    if (place < positional.size()) return &positional[place];
    for (const auto& [known, value] : named) {
        if (known == name) return &value;
    }
    return nullptr;
}

Value::Value(std::string value) : data_(std::move(value)) {
    Work::spend_on_text(std::get<std::string>(data_).size());
}

Value Value::undefined(std::string name) {
    Value value;
    value.data_ = Undefined{std::move(name)};
    return value;
}

Value Value::list(List items) {
    Value value;
    value.data_ = sequence_of(std::move(items), false);
    return value;
}

Value Value::tuple(List items) {
    Value value;
    value.data_ = sequence_of(std::move(items), true);
    return value;
}

Value Value::dict(Dict dict) {
    Value value;
    value.data_ = std::make_shared<const Dict>(with_depth(std::move(dict)));
    return value;
}

Value Value::space(Dict values) {
    Value value;
    value.data_ = std::make_shared<Namespace>(Namespace{with_depth(std::move(values))});
    return value;
}

Value Value::function(Function function) {
    Value value;
    value.data_ = std::make_shared<const Function>(std::move(function));
    return value;
}

Value Value::of_json(const nlohmann::ordered_json& json) {
    if (json.is_null()) return {};
    if (json.is_boolean()) return json.get<bool>();
    if (json.is_number_integer()) return json.get<std::int64_t>();
    if (json.is_number()) return json.get<double>();
    if (json.is_string()) return json.get<std::string>();
    if (json.is_array()) {
        List items;
        for (const auto& item : json) items.push_back(of_json(item));
        return list(std::move(items));
    }
    Dict dict_value;
    for (const auto& [key, item] : json.items()) dict_value.items.emplace_back(key, of_json(item));
    return dict(std::move(dict_value));
}

bool Value::is_number() const {
    return as<bool>() != nullptr || as<std::int64_t>() != nullptr || as<double>() != nullptr;
}

const Sequence* Value::as_sequence() const {
    const auto* pointer = as<SequencePointer>();
    return pointer != nullptr ? pointer->get() : nullptr;
}

const Dict* Value::as_dict() const {
    const auto* pointer = as<DictPointer>();
    return pointer != nullptr ? pointer->get() : nullptr;
}

Namespace* Value::as_space() const {
    const auto* pointer = as<std::shared_ptr<Namespace>>();
    return pointer != nullptr ? pointer->get() : nullptr;
}

const Function* Value::as_function() const {
    const auto* pointer = as<std::shared_ptr<const Function>>();
    return pointer != nullptr ? pointer->get() : nullptr;
}

std::string_view Value::kind() const {
    constexpr std::string_view names[] = {"undefined", "none", "boolean", "integer",   "float",
                                          "string",    "list", "mapping", "namespace", "function"};
    return names[data_.index()];
}

bool Value::is_true() const {
    if (const auto* flag = as<bool>()) return *flag;
    if (const auto* number = as<std::int64_t>()) return *number != 0;
    if (const auto* number = as<double>()) return *number != 0.0;
    if (const auto* text = as<std::string>()) return !text->empty();
    if (const auto* sequence = as_sequence()) return !sequence->items.empty();
    if (const auto* dict_value = as_dict()) return !dict_value->items.empty();
    return !is_undefined() && !is_none();
}

std::string Value::text() const {
    if (is_undefined()) return "";
    if (const auto* text = as<std::string>()) return *text;
    return quoted();
}

std::string Value::quoted() const {
    if (is_undefined()) return "Undefined";
    if (is_none()) return "None";
    if (const auto* flag = as<bool>()) return *flag ? "True" : "False";
    if (const auto* number = as<std::int64_t>()) return std::to_string(*number);
    if (const auto* number = as<double>()) return text_of(*number);
    if (const auto* text = as<std::string>()) return quoted_string(*text);
    if (const auto* dict_value = as_dict()) return quoted_dict(*dict_value);
    if (const auto* sequence = as_sequence()) {
        const std::string items = joined(sequence->items);
        if (!sequence->is_tuple) return "[" + items + "]";
        return "(" + items + (sequence->items.size() == 1 ? ",)" : ")");
    }
    return "<" + std::string(kind()) + ">";
}

const std::string& Value::string() const {
    const auto* text = as<std::string>();
    if (text == nullptr) refuse(*this, "a string");
    return *text;
}

std::int64_t Value::integer() const {
    if (const auto* flag = as<bool>()) return *flag ? 1 : 0;
    const auto* number = as<std::int64_t>();
    if (number == nullptr) refuse(*this, "an integer");
    return *number;
}

double Value::real() const {
    if (const auto* number = as<double>()) return *number;
    if (!is_number()) refuse(*this, "a number");
    return static_cast<double>(integer());
}

Value Value::whole(double number) {
    // Not a number is neither.
    if (number >= -0x1p63 && number < 0x1p63) return static_cast<std::int64_t>(number);
    throw DataError("the number " + text_of(number) + " is no integer of 64 bits");
}

List Value::elements() const {
    if (const auto* sequence = as_sequence()) {
        Work::spend_on_list(sequence->items.size());
        return sequence->items;
    }
    List items;
    if (const auto* dict_value = as_dict()) {
        for (const auto& [key, value] : dict_value->items) items.push_back(key);
        return items;
    }
    if (is_undefined()) return items;
    if (!is_string()) refuse(*this, "something to go through");
    for (std::string& character : characters(string())) items.emplace_back(std::move(character));
    return items;
}

std::size_t Value::length() const {
    if (const auto* text = as<std::string>()) return tokenizer::count_code_points(*text);
    if (const auto* dict_value = as_dict()) return dict_value->items.size();
    return elements().size();
}

bool operator==(const Value& a, const Value& b) {
    Work::spend(1);
    if (a.is_number() && b.is_number()) {
        const bool has_real = a.as<double>() != nullptr || b.as<double>() != nullptr;
        return has_real ? a.real() == b.real() : a.integer() == b.integer();
    }
    if (a.is_string() && b.is_string()) return a.string() == b.string();
    if (a.is_none() && b.is_none()) return true;
    if (a.is_undefined() && b.is_undefined()) return true;
    const auto* x = a.as_sequence();
    const auto* y = b.as_sequence();
    if (x != nullptr && y != nullptr) {
        return x->is_tuple == y->is_tuple && std::ranges::equal(x->items, y->items);
    }
    const auto* first = a.as_dict();
    const auto* second = b.as_dict();
    if (first == nullptr || second == nullptr) return false;
    return first->items.size() == second->items.size() &&
           std::ranges::all_of(first->items, [&](const auto& item) {
               const Value* other = second->find(item.first);
               return other != nullptr && *other == item.second;
           });
}

bool less(const Value& a, const Value& b) {
    Work::spend(1);
    if (a.is_number() && b.is_number()) return a.real() < b.real();
    if (a.is_string() && b.is_string()) return a.string() < b.string();
    const auto* x = a.as_sequence();
    const auto* y = b.as_sequence();
    if (x == nullptr || y == nullptr) refuse(a, ("something like " + b.quoted()).c_str());
    return std::ranges::lexicographical_compare(x->items, y->items, less);
}

void require_part(const Value& value) {
    if (value.as_space() != nullptr) {
        throw DataError("a namespace within another value is not supported");
    }
}

std::vector<std::string> characters(std::string_view text) {
    Work::spend_on_list(text.size());
    std::vector<std::string> result;
    for (std::size_t i = 0; i < text.size();) {
        const std::size_t begin = i;
        (void)tokenizer::next_code_point(text, i);
        result.emplace_back(text.substr(begin, i - begin));
    }
    return result;
}

}  // namespace lathe::jinja
