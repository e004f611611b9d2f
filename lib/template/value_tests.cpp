#include <algorithm>
#include <array>

#include "lib/core/errors.hpp"
#include "lib/template/library.hpp"
#include "lib/template/text_functions.hpp"

namespace lathe::jinja {
namespace {

const Value& argument(const Arguments& arguments) {
    const Value* value = arguments.find(0, "other");
    if (value == nullptr) throw DataError("a test that compares needs a value to compare with");
    return *value;
}

bool is_iterable(const Value& value) {
    return value.is_string() || value.as_sequence() != nullptr || value.as_dict() != nullptr ||
           value.is_undefined();
}

bool is_among(const Value& value, const Value& container) {
    if (container.is_string()) {
        return container.string().find(value.string()) != std::string::npos;
    }
    const List items = container.elements();
    return std::ranges::find(items, value) != items.end();
}

struct Row {
    std::string_view name;
    bool (*holds)(const Value& value, const Arguments& arguments);
};

using V = Value;
using A = Arguments;

constexpr std::array rows = {
    Row{"boolean", [](const V& v, const A&) { return v.as<bool>() != nullptr; }},
    Row{"callable", [](const V& v, const A&) { return v.as_function() != nullptr; }},
    Row{"defined", [](const V& v, const A&) { return !v.is_undefined(); }},
    Row{"divisibleby",
        [](const V& v, const A& a) { return v.integer() % argument(a).integer() == 0; }},
    Row{"eq", [](const V& v, const A& a) { return v == argument(a); }},
    Row{"equalto", [](const V& v, const A& a) { return v == argument(a); }},
    Row{"even", [](const V& v, const A&) { return v.integer() % 2 == 0; }},
    Row{"false", [](const V& v, const A&) { return v.as<bool>() != nullptr && !*v.as<bool>(); }},
    Row{"float", [](const V& v, const A&) { return v.as<double>() != nullptr; }},
    Row{"ge", [](const V& v, const A& a) { return !less(v, argument(a)); }},
    Row{"greaterthan", [](const V& v, const A& a) { return less(argument(a), v); }},
    Row{"gt", [](const V& v, const A& a) { return less(argument(a), v); }},
    Row{"in", [](const V& v, const A& a) { return is_among(v, argument(a)); }},
    Row{"integer", [](const V& v, const A&) { return v.as<std::int64_t>() != nullptr; }},
    Row{"iterable", [](const V& v, const A&) { return is_iterable(v); }},
    Row{"le", [](const V& v, const A& a) { return !less(argument(a), v); }},
    Row{"lessthan", [](const V& v, const A& a) { return less(v, argument(a)); }},
    Row{"lower", [](const V& v, const A&) { return v.text() == lowered(v.text()); }},
    Row{"lt", [](const V& v, const A& a) { return less(v, argument(a)); }},
    Row{"mapping", [](const V& v, const A&) { return v.as_dict() != nullptr; }},
    Row{"ne", [](const V& v, const A& a) { return !(v == argument(a)); }},
    Row{"none", [](const V& v, const A&) { return v.is_none(); }},
    Row{"number", [](const V& v, const A&) { return v.is_number(); }},
    Row{"odd", [](const V& v, const A&) { return v.integer() % 2 != 0; }},
    // Python's strings and mappings have a length and elements too.
    Row{"sequence", [](const V& v, const A&) { return is_iterable(v); }},
    Row{"string", [](const V& v, const A&) { return v.is_string(); }},
    Row{"true", [](const V& v, const A&) { return v.as<bool>() != nullptr && *v.as<bool>(); }},
    Row{"undefined", [](const V& v, const A&) { return v.is_undefined(); }},
    Row{"upper", [](const V& v, const A&) { return v.text() == raised(v.text()); }},
};

}  // namespace

bool passes_test(std::string_view name, const Value& value, const Arguments& arguments) {
    const auto row = std::ranges::find(rows, name, &Row::name);
    if (row != rows.end()) return row->holds(value, arguments);
    if (name == "==") return value == argument(arguments);
    if (name == "!=") return !(value == argument(arguments));
    throw DataError("the test \"" + std::string(name) + "\" is not supported");
}

}  // namespace lathe::jinja
