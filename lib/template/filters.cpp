#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "lib/core/errors.hpp"
#include "lib/template/library.hpp"
#include "lib/template/list_filters.hpp"
#include "lib/template/text_functions.hpp"
#include "lib/template/work.hpp"

namespace lathe::jinja {
namespace {

using Apply = Value (*)(const Value& value, const Arguments& arguments);

/// How far something is moved to the right.
std::size_t columns_of(const Value& width) {
    constexpr std::int64_t most = 1000;
    if (width.integer() > most) {
        throw DataError("an indentation of " + std::to_string(width.integer()) +
                        " columns; at most " + std::to_string(most) + " are supported");
    }
    return static_cast<std::size_t>(std::max<std::int64_t>(width.integer(), 0));
}

/// Lines behind the first (or all) moved to the right; empty ones only if asked for.
Value indent(const Value& value, const Arguments& arguments) {
    const Value* width = arguments.find(0, "width");
    const std::string blanks =
        width != nullptr && width->is_string()
            ? width->string()
            : std::string(width != nullptr ? columns_of(*width) : std::size_t{4}, ' ');
    const bool with_first = flag_of(arguments.find(1, "first"), false);
    const bool with_blank = flag_of(arguments.find(2, "blank"), false);
    const std::string& text = value.string();
    std::string out;
    for (std::size_t begin = 0; begin <= text.size();) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        const bool moves = begin == 0 ? with_first : (end > begin || with_blank);
        if (moves) Work::spend_on_text(blanks.size());
        out += (moves ? blanks : "") + text.substr(begin, end - begin);
        if (end == text.size()) break;
        out += '\n';
        begin = end + 1;
    }
    return out;
}

std::int64_t magnitude_of(std::int64_t value) {
    if (value == std::numeric_limits<std::int64_t>::min()) {
        throw DataError("abs: the number " + std::to_string(value) + " has more than 64 bits");
    }
    return std::abs(value);
}

Value to_integer(const Value& value, const Arguments& arguments) {
    if (value.as<double>() != nullptr) return Value::whole(value.real());
    if (value.is_number()) return value.integer();
    try {
        return static_cast<std::int64_t>(std::stoll(value.string()));
    } catch (const std::exception&) {
        const Value* fallback = arguments.find(0, "default");
        return fallback != nullptr ? *fallback : Value(std::int64_t{0});
    }
}

Value to_real(const Value& value, const Arguments& arguments) {
    if (value.is_number()) return value.real();
    try {
        return std::stod(value.string());
    } catch (const std::exception&) {
        const Value* fallback = arguments.find(0, "default");
        return fallback != nullptr ? *fallback : Value(0.0);
    }
}

Value rounded(const Value& value, const Arguments& arguments) {
    const Value* digits = arguments.find(0, "precision");
    const std::string method = text_of(arguments.find(1, "method"), "common");
    const double scale =
        std::pow(10.0, digits != nullptr ? static_cast<double>(digits->integer()) : 0.0);
    const double scaled = value.real() * scale;
    if (method == "ceil") return std::ceil(scaled) / scale;
    if (method == "floor") return std::floor(scaled) / scale;
    return std::nearbyint(scaled) / scale;
}

Value tojson(const Value& value, const Arguments& arguments) {
    JsonStyle style;
    style.ensure_ascii = flag_of(arguments.find(0, "ensure_ascii"), false);
    const Value* indentation = arguments.find(1, "indent");
    if (indentation != nullptr && !indentation->is_none()) {
        style.indent = static_cast<int>(columns_of(*indentation));
        style.item_separator = ",";
    }
    const Value* separators = arguments.find(2, "separators");
    if (separators != nullptr && !separators->is_none()) {
        const List pair = separators->elements();
        if (pair.size() != 2) throw DataError("tojson: separators are not a pair");
        style.item_separator = pair[0].string();
        style.key_separator = pair[1].string();
    }
    style.sort_keys = flag_of(arguments.find(3, "sort_keys"), false);
    return to_json(value, style);
}

Value escaped(const Value& value) {
    std::string text;
    for (const char c : value.text()) {
        switch (c) {
            case '&':
                text += "&amp;";
                break;
            case '<':
                text += "&lt;";
                break;
            case '>':
                text += "&gt;";
                break;
            case '"':
                text += "&#34;";
                break;
            case '\'':
                text += "&#39;";
                break;
            default:
                text += c;
        }
    }
    return text;
}

Value fallback(const Value& value, const Arguments& arguments) {
    const Value* other = arguments.find(0, "default_value");
    const bool counts_false = flag_of(arguments.find(1, "boolean"), false);
    const bool is_missing = value.is_undefined() || (counts_false && !value.is_true());
    return is_missing ? (other != nullptr ? *other : Value("")) : value;
}

struct Row {
    std::string_view name;
    Apply apply;
};

constexpr std::array rows = {
    Row{"abs",
        [](const Value& v, const Arguments&) {
            return v.as<double>() != nullptr ? Value(std::abs(v.real()))
                                             : Value(magnitude_of(v.integer()));
        }},
    Row{"capitalize",
        [](const Value& v, const Arguments&) { return Value(capitalised(v.text())); }},
    Row{"count", [](const Value& v,
                    const Arguments&) { return Value(static_cast<std::int64_t>(v.length())); }},
    Row{"d", fallback},
    Row{"default", fallback},
    Row{"dictsort", dict_sorted},
    Row{"e", [](const Value& v, const Arguments&) { return escaped(v); }},
    Row{"escape", [](const Value& v, const Arguments&) { return escaped(v); }},
    Row{"first", [](const Value& v, const Arguments&) { return end_of(v, false); }},
    Row{"float", to_real},
    Row{"indent", indent},
    Row{"int", to_integer},
    Row{"items", [](const Value& v, const Arguments&) { return items_of(v); }},
    Row{"join", join},
    Row{"last", [](const Value& v, const Arguments&) { return end_of(v, true); }},
    Row{"length", [](const Value& v,
                     const Arguments&) { return Value(static_cast<std::int64_t>(v.length())); }},
    Row{"list", [](const Value& v, const Arguments&) { return Value::list(v.elements()); }},
    Row{"lower", [](const Value& v, const Arguments&) { return Value(lowered(v.text())); }},
    Row{"map", map},
    Row{"max", [](const Value& v, const Arguments&) { return extreme(v, true); }},
    Row{"min", [](const Value& v, const Arguments&) { return extreme(v, false); }},
    Row{"reject", [](const Value& v, const Arguments& a) { return chosen(v, a, false, false); }},
    Row{"rejectattr", [](const Value& v, const Arguments& a) { return chosen(v, a, true, false); }},
    Row{"replace",
        [](const Value& v, const Arguments& a) {
            const Value* most = a.find(2, "count");
            return Value(replaced(v.text(), text_of(a.find(0, "old"), ""),
                                  text_of(a.find(1, "new"), ""),
                                  most != nullptr && !most->is_none() ? most->integer() : -1));
        }},
    Row{"reverse", [](const Value& v, const Arguments&) { return reversed(v); }},
    Row{"round", rounded},
    Row{"safe", [](const Value& v, const Arguments&) { return v; }},
    Row{"select", [](const Value& v, const Arguments& a) { return chosen(v, a, false, true); }},
    Row{"selectattr", [](const Value& v, const Arguments& a) { return chosen(v, a, true, true); }},
    Row{"sort", sorted},
    Row{"string", [](const Value& v, const Arguments&) { return Value(v.text()); }},
    Row{"sum", sum},
    Row{"title", [](const Value& v, const Arguments&) { return Value(titled(v.text())); }},
    Row{"tojson", tojson},
    Row{"trim",
        [](const Value& v, const Arguments& a) {
            return Value(stripped(v.text(), text_of(a.find(0, "chars"), ""), true, true));
        }},
    Row{"unique", unique},
    Row{"upper", [](const Value& v, const Arguments&) { return Value(raised(v.text())); }},
};

}  // namespace

Value apply_filter(std::string_view name, const Value& value, const Arguments& arguments) {
    const auto row = std::ranges::find(rows, name, &Row::name);
    if (row == rows.end()) {
        throw DataError("the filter \"" + std::string(name) + "\" is not supported");
    }
    return row->apply(value, arguments);
}

}  // namespace lathe::jinja
