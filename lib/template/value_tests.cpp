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

bool is_divisible(std::int64_t value, std::int64_t by) {
    if (by == 0) throw DataError("divisibleby: division by zero");
    return by == -1 || value % by == 0;  // value % -1 may overflow
}

struct NamedTest {
    std::string_view name;
    bool (*holds)(const Value& value, const Arguments& arguments);
};

using V = Value;
using A = Arguments;

constexpr std::array named_tests = {
    NamedTest{"boolean", [](const V& v, const A&) { return v.as<bool>() != nullptr; }},
    NamedTest{"callable", [](const V& v, const A&) { return v.as_function() != nullptr; }},
    NamedTest{"defined", [](const V& v, const A&) { return !v.is_undefined(); }},
    NamedTest{
        "divisibleby",
        [](const V& v, const A& a) { return is_divisible(v.integer(), argument(a).integer()); }},
    NamedTest{"eq", [](const V& v, const A& a) { return v == argument(a); }},
    NamedTest{"equalto", [](const V& v, const A& a) { return v == argument(a); }},
    NamedTest{"even", [](const V& v, const A&) { return v.integer() % 2 == 0; }},
    NamedTest{"false",
              [](const V& v, const A&) { return v.as<bool>() != nullptr && !*v.as<bool>(); }},
    NamedTest{"float", [](const V& v, const A&) { return v.as<double>() != nullptr; }},
    NamedTest{"ge", [](const V& v, const A& a) { return !less(v, argument(a)); }},
    NamedTest{"greaterthan", [](const V& v, const A& a) { return less(argument(a), v); }},
    NamedTest{"gt", [](const V& v, const A& a) { return less(argument(a), v); }},
    NamedTest{"in", [](const V& v, const A& a) { return is_among(v, argument(a)); }},
    NamedTest{"integer", [](const V& v, const A&) { return v.as<std::int64_t>() != nullptr; }},
    NamedTest{"iterable", [](const V& v, const A&) { return is_iterable(v); }},
    NamedTest{"le", [](const V& v, const A& a) { return !less(argument(a), v); }},
    NamedTest{"lessthan", [](const V& v, const A& a) { return less(v, argument(a)); }},
    NamedTest{"lower", [](const V& v, const A&) { return v.text() == lowered(v.text()); }},
    NamedTest{"lt", [](const V& v, const A& a) { return less(v, argument(a)); }},
    NamedTest{"mapping", [](const V& v, const A&) { return v.as_dict() != nullptr; }},
    NamedTest{"ne", [](const V& v, const A& a) { return !(v == argument(a)); }},
    NamedTest{"none", [](const V& v, const A&) { return v.is_none(); }},
    NamedTest{"number", [](const V& v, const A&) { return v.is_number(); }},
    NamedTest{"odd", [](const V& v, const A&) { return v.integer() % 2 != 0; }},
    // Python's strings and mappings have a length and elements too.
    NamedTest{"sequence", [](const V& v, const A&) { return is_iterable(v); }},
    NamedTest{"string", [](const V& v, const A&) { return v.is_string(); }},
    NamedTest{"true",
              [](const V& v, const A&) { return v.as<bool>() != nullptr && *v.as<bool>(); }},
    NamedTest{"undefined", [](const V& v, const A&) { return v.is_undefined(); }},
    NamedTest{"upper", [](const V& v, const A&) { return v.text() == raised(v.text()); }},
};

}  // namespace

bool passes_test(std::string_view name, const Value& value, const Arguments& arguments) {
    const auto row = std::ranges::find(named_tests, name, &NamedTest::name);
    if (row != named_tests.end()) return row->holds(value, arguments);
    if (name == "==") return value == argument(arguments);
    if (name == "!=") return !(value == argument(arguments));
    throw DataError("the test \"" + std::string(name) + "\" is not supported");
}

}  // namespace lathe::jinja
