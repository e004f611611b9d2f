#include "lib/template/list_filters.hpp"

#include <algorithm>

#include "lib/core/errors.hpp"
#include "lib/template/library.hpp"
#include "lib/template/text_functions.hpp"
#include "lib/template/work.hpp"

namespace lathe::jinja {
namespace {

/// A part of an element by a dotted name, as map(attribute="a.b") takes it.
Value attribute_of(const Value& element, const Value& attribute) {
    if (!attribute.is_string()) return part_of(element, attribute);
    Value value = element;
    std::string_view rest = attribute.string();
    while (!rest.empty()) {
        const std::size_t dot = std::min(rest.find('.'), rest.size());
        value = part_of(value, std::string(rest.substr(0, dot)));
        rest.remove_prefix(std::min(dot + 1, rest.size()));
    }
    return value;
}

Value key_of(const Value& element, const Value* attribute) {
    return attribute == nullptr || attribute->is_none() ? element
                                                        : attribute_of(element, *attribute);
}

/// The arguments behind the first `n`.
Arguments behind(const Arguments& arguments, std::size_t n) {
    Arguments rest = arguments;
    rest.positional.erase(
        rest.positional.begin(),
        rest.positional.begin() + static_cast<std::ptrdiff_t>(std::min(n, rest.positional.size())));
    return rest;
}

}  // namespace

bool flag_of(const Value* value, bool fallback) {
    return value != nullptr ? value->is_true() : fallback;
}

std::string text_of(const Value* value, std::string fallback) {
    return value != nullptr && !value->is_none() ? value->text() : fallback;
}

Value chosen(const Value& value, const Arguments& arguments, bool by_attribute, bool wanted) {
    const std::size_t at = by_attribute ? 1 : 0;
    if (arguments.positional.size() < at) throw DataError("selectattr needs the name of a part");
    List kept;
    for (const Value& element : value.elements()) {
        const Value tested =
            by_attribute ? attribute_of(element, arguments.positional[0]) : element;
        const bool passes =
            arguments.positional.size() > at
                ? passes_test(arguments.positional[at].string(), tested, behind(arguments, at + 1))
                : tested.is_true();
        if (passes == wanted) kept.push_back(element);
    }
    return Value::list(std::move(kept));
}

Value map(const Value& value, const Arguments& arguments) {
    const Value* attribute = arguments.find(~std::size_t{0}, "attribute");
    const Value* fallback = arguments.find(~std::size_t{0}, "default");
    List results;
    for (const Value& element : value.elements()) {
        if (attribute != nullptr) {
            Value part = attribute_of(element, *attribute);
            results.push_back(part.is_undefined() && fallback != nullptr ? *fallback : part);
        } else if (!arguments.positional.empty()) {
            results.push_back(
                apply_filter(arguments.positional[0].string(), element, behind(arguments, 1)));
        } else {
            throw DataError("map needs a filter or attribute=");
        }
    }
    return Value::list(std::move(results));
}

Value join(const Value& value, const Arguments& arguments) {
    const std::string between = text_of(arguments.find(0, "d"), "");
    const Value* attribute = arguments.find(1, "attribute");
    std::string text;
    bool is_first = true;
    for (const Value& element : value.elements()) {
        if (!is_first) text += between;
        text += key_of(element, attribute).text();
        Work::spend_on_text(between.size());
        is_first = false;
    }
    return text;
}

Value sorted(const Value& value, const Arguments& arguments) {
    const bool is_reversed = flag_of(arguments.find(0, "reverse"), false);
    const bool minds_case = flag_of(arguments.find(1, "case_sensitive"), false);
    const Value* attribute = arguments.find(2, "attribute");
    const auto key = [&](const Value& element) {
        Value part = key_of(element, attribute);
        return part.is_string() && !minds_case ? Value(lowered(part.string())) : part;
    };
    List items = value.elements();
    std::ranges::stable_sort(items, [&](const Value& a, const Value& b) {
        return is_reversed ? less(key(b), key(a)) : less(key(a), key(b));
    });
    return Value::list(std::move(items));
}

Value dict_sorted(const Value& value, const Arguments& arguments) {
    const Dict* dict = value.as_dict();
    if (dict == nullptr)
        throw DataError("dictsort: found " + value.quoted() + ", expected a mapping");
    const bool by_value = text_of(arguments.find(1, "by"), "key") == "value";
    const auto key = [&](const Value& pair) {
        const Value& part = pair.as_sequence()->items[by_value ? 1 : 0];
        return part.is_string() ? Value(lowered(part.string())) : part;
    };
    List pairs;
    for (const auto& [name, item] : dict->items) pairs.push_back(Value::tuple({name, item}));
    std::ranges::stable_sort(pairs,
                             [&](const Value& a, const Value& b) { return less(key(a), key(b)); });
    if (flag_of(arguments.find(2, "reverse"), false)) std::ranges::reverse(pairs);
    return Value::list(std::move(pairs));
}

Value unique(const Value& value, const Arguments& arguments) {
    const Value* attribute = arguments.find(1, "attribute");
    List kept;
    List seen;
    for (const Value& element : value.elements()) {
        const Value key = key_of(element, attribute);
        if (std::ranges::find(seen, key) != seen.end()) continue;
        seen.push_back(key);
        kept.push_back(element);
    }
    return Value::list(std::move(kept));
}

Value extreme(const Value& value, bool largest) {
    const List items = value.elements();
    if (items.empty()) return Value::undefined("of an empty list");
    return largest ? *std::ranges::max_element(items, less)
                   : *std::ranges::min_element(items, less);
}

Value sum(const Value& value, const Arguments& arguments) {
    const Value* attribute = arguments.find(0, "attribute");
    const Value* start = arguments.find(1, "start");
    double real = start != nullptr ? start->real() : 0.0;
    bool is_whole = start == nullptr || start->as<double>() == nullptr;
    for (const Value& element : value.elements()) {
        const Value part = key_of(element, attribute);
        is_whole = is_whole && part.as<double>() == nullptr;
        real += part.real();
    }
    return is_whole ? Value::whole(real) : Value(real);
}

Value reversed(const Value& value) {
    List items = value.elements();
    std::ranges::reverse(items);
    if (!value.is_string()) return Value::list(std::move(items));
    std::string text;
    for (const Value& character : items) text += character.string();
    return text;
}

Value items_of(const Value& value) {
    const Dict* dict = value.as_dict();
    List pairs;
    if (dict == nullptr && !value.is_undefined()) {
        throw DataError("items: found " + value.quoted() + ", expected a mapping");
    }
    if (dict != nullptr) {
        for (const auto& [key, item] : dict->items) pairs.push_back(Value::tuple({key, item}));
    }
    return Value::list(std::move(pairs));
}

Value end_of(const Value& value, bool last) {
    const List items = value.elements();
    if (items.empty()) return Value::undefined(last ? "last of nothing" : "first of nothing");
    return last ? items.back() : items.front();
}

}  // namespace lathe::jinja
