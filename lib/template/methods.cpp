#include <algorithm>
#include <array>

#include "lib/core/errors.hpp"
#include "lib/template/library.hpp"
#include "lib/template/text_functions.hpp"
#include "lib/template/work.hpp"
#include "lib/tokenizer/unicode.hpp"

namespace lathe::jinja {
namespace {

using S = std::string;
using A = Arguments;

std::string marks_of(const A& arguments) {
    const Value* marks = arguments.find(0, "chars");
    return marks != nullptr && !marks->is_none() ? marks->string() : "";
}

const S& text_argument(const A& arguments, std::size_t place) {
    if (place >= arguments.positional.size()) throw DataError("a method without its argument");
    return arguments.positional[place].string();
}

/// str.startswith() and endswith(), with one text or several.
template <class Matches>
bool any_of(const A& arguments, const Matches& matches) {
    if (arguments.positional.empty()) throw DataError("a method without its argument");
    const Value& argument = arguments.positional[0];
    if (argument.is_string()) return matches(argument.string());
    const List items = argument.elements();
    return std::ranges::any_of(items, [&](const Value& item) { return matches(item.string()); });
}

/// Without a separator: at runs of white space.
List words_of(const S& text, long most) {
    List words;
    std::string_view rest = text;
    while (true) {
        const std::string left = stripped(rest, "", true, false);
        rest = std::string_view(text).substr(text.size() - left.size());
        if (rest.empty()) return words;
        if (most == 0) {
            words.emplace_back(stripped(rest, "", false, true));
            return words;
        }
        std::size_t end = 0;
        for (std::size_t next = 0; next < rest.size(); end = next) {
            if (tokenizer::is_white_space(tokenizer::next_code_point(rest, next))) break;
        }
        words.emplace_back(std::string(rest.substr(0, end)));
        rest.remove_prefix(end);
        --most;
    }
}

Value split(const S& text, const A& arguments) {
    const Value* separator = arguments.find(0, "sep");
    const Value* limit = arguments.find(1, "maxsplit");
    long most = limit != nullptr ? limit->integer() : -1;
    if (separator == nullptr || separator->is_none()) return Value::list(words_of(text, most));
    const S& mark = separator->string();
    if (mark.empty()) throw DataError("split: the separator is empty");
    List parts;
    std::size_t begin = 0;
    for (std::size_t at = text.find(mark); at != S::npos && most != 0;
         at = text.find(mark, begin), --most) {
        parts.emplace_back(text.substr(begin, at - begin));
        begin = at + mark.size();
    }
    parts.emplace_back(text.substr(begin));
    return Value::list(std::move(parts));
}

Value rsplit(const S& text, const A& arguments) {
    const Value* limit = arguments.find(1, "maxsplit");
    if (limit == nullptr || limit->integer() < 0) return split(text, arguments);
    const S& mark = text_argument(arguments, 0);
    List parts;
    std::size_t end = text.size();
    for (std::int64_t i = 0; i < limit->integer() && end > 0; ++i) {
        const std::size_t at = end < mark.size() ? S::npos : text.rfind(mark, end - mark.size());
        if (at == S::npos) break;
        parts.emplace_back(text.substr(at + mark.size(), end - at - mark.size()));
        end = at;
    }
    parts.emplace_back(text.substr(0, end));
    std::ranges::reverse(parts);
    return Value::list(std::move(parts));
}

Value lines_of(const S& text) {
    List lines;
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find_first_of("\r\n", begin), text.size());
        lines.emplace_back(text.substr(begin, end - begin));
        begin = end + (text.substr(end, 2) == "\r\n" ? 2 : 1);
    }
    return Value::list(std::move(lines));
}

/// A place counted in characters; -1: not there.
Value place_of(const S& text, std::size_t at) {
    if (at == S::npos) return std::int64_t{-1};
    return static_cast<std::int64_t>(tokenizer::count_code_points(text.substr(0, at)));
}

Value count(const S& text, const S& part) {
    std::int64_t n = 0;
    for (std::size_t at = text.find(part); at != S::npos && !part.empty();
         at = text.find(part, at + part.size())) {
        ++n;
    }
    return n;
}

bool is_all_digits(const S& text) {
    return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

struct TextMethod {
    std::string_view name;
    Value (*call)(const S& text, const A& arguments);
};

constexpr std::array text_methods = {
    TextMethod{"capitalize", [](const S& s, const A&) { return Value(capitalised(s)); }},
    TextMethod{"count", [](const S& s, const A& a) { return count(s, text_argument(a, 0)); }},
    TextMethod{"endswith",
               [](const S& s, const A& a) {
                   return Value(any_of(a, [&](const S& part) { return s.ends_with(part); }));
               }},
    TextMethod{"find",
               [](const S& s, const A& a) { return place_of(s, s.find(text_argument(a, 0))); }},
    TextMethod{"isdigit", [](const S& s, const A&) { return Value(is_all_digits(s)); }},
    TextMethod{"join",
               [](const S& s, const A& a) {
                   if (a.positional.empty()) throw DataError("join without a list");
                   std::string text;
                   const List items = a.positional[0].elements();
                   for (std::size_t i = 0; i < items.size(); ++i) {
                       Work::spend_on_text(s.size() + items[i].string().size());
                       text += (i == 0 ? "" : s) + items[i].string();
                   }
                   return Value(text);
               }},
    TextMethod{"lower", [](const S& s, const A&) { return Value(lowered(s)); }},
    TextMethod{"lstrip",
               [](const S& s, const A& a) { return Value(stripped(s, marks_of(a), true, false)); }},
    TextMethod{"removeprefix",
               [](const S& s, const A& a) {
                   const S& part = text_argument(a, 0);
                   return Value(s.starts_with(part) ? s.substr(part.size()) : s);
               }},
    TextMethod{"removesuffix",
               [](const S& s, const A& a) {
                   const S& part = text_argument(a, 0);
                   return Value(s.ends_with(part) ? s.substr(0, s.size() - part.size()) : s);
               }},
    TextMethod{"replace",
               [](const S& s, const A& a) {
                   const Value* most = a.find(2, "count");
                   return Value(replaced(s, text_argument(a, 0), text_argument(a, 1),
                                         most != nullptr ? most->integer() : -1));
               }},
    TextMethod{"rfind",
               [](const S& s, const A& a) { return place_of(s, s.rfind(text_argument(a, 0))); }},
    TextMethod{"rsplit", rsplit},
    TextMethod{"rstrip",
               [](const S& s, const A& a) { return Value(stripped(s, marks_of(a), false, true)); }},
    TextMethod{"split", split},
    TextMethod{"splitlines", [](const S& s, const A&) { return lines_of(s); }},
    TextMethod{"startswith",
               [](const S& s, const A& a) {
                   return Value(any_of(a, [&](const S& part) { return s.starts_with(part); }));
               }},
    TextMethod{"strip",
               [](const S& s, const A& a) { return Value(stripped(s, marks_of(a), true, true)); }},
    TextMethod{"title", [](const S& s, const A&) { return Value(titled(s)); }},
    TextMethod{"upper", [](const S& s, const A&) { return Value(raised(s)); }},
};

constexpr std::array<std::string_view, 4> dict_methods = {"get", "items", "keys", "values"};

Value call_of_dict(const Dict& dict, std::string_view name, const A& arguments) {
    if (name == "get") {
        if (arguments.positional.empty()) throw DataError("get without a key");
        if (const Value* value = dict.find(arguments.positional[0])) return *value;
        const Value* fallback = arguments.find(1, "default");
        return fallback != nullptr ? *fallback : Value();
    }
    List items;
    for (const auto& [key, value] : dict.items) {
        if (name == "keys") items.push_back(key);
        if (name == "values") items.push_back(value);
        if (name == "items") items.push_back(Value::tuple({key, value}));
    }
    return Value::list(std::move(items));
}

std::int64_t place_in(const Value& key, std::size_t size) {
    const std::int64_t at = key.integer();
    return at < 0 ? at + static_cast<std::int64_t>(size) : at;
}

}  // namespace

bool has_method(const Value& value, std::string_view name) {
    // What a mapping holds under the name wins in value.name, but not where it is called.
    if (value.as_dict() != nullptr)
        return std::ranges::find(dict_methods, name) != dict_methods.end();
    return value.is_string() || value.as_sequence() != nullptr;
}

Value call_method(const Value& value, std::string_view name, const Arguments& arguments) {
    if (const Dict* dict = value.as_dict()) return call_of_dict(*dict, name, arguments);
    if (value.is_string()) {
        const auto method = std::ranges::find(text_methods, name, &TextMethod::name);
        if (method != text_methods.end()) return method->call(value.string(), arguments);
    } else if (name == "index" && !arguments.positional.empty()) {
        const List items = value.elements();
        const auto found = std::ranges::find(items, arguments.positional[0]);
        if (found == items.end()) throw DataError("index: the list has no such value");
        return static_cast<std::int64_t>(found - items.begin());
    } else if (name == "count" && !arguments.positional.empty()) {
        return static_cast<std::int64_t>(
            std::ranges::count(value.elements(), arguments.positional[0]));
    }
    throw DataError("the method \"" + std::string(name) + "\" of a value that is " +
                    std::string(value.kind()) + " is not supported");
}

Value part_of(const Value& value, const Value& key) {
    if (const auto* undefined = value.as<Value::Undefined>()) {
        throw DataError("'" + undefined->name + "' is undefined");
    }
    if (const Dict* dict = value.as_dict()) {
        const Value* part = dict->find(key);
        return part != nullptr ? *part : Value::undefined(key.text());
    }
    if (const Namespace* space = value.as_space()) {
        const Value* part = space->values.find(key);
        return part != nullptr ? *part : Value::undefined(key.text());
    }
    const bool is_indexed = value.is_string() || value.as_sequence() != nullptr;
    if (is_indexed && key.as<std::int64_t>() != nullptr) {
        const List items = value.elements();
        const std::int64_t at = place_in(key, items.size());
        if (at >= 0 && at < static_cast<std::int64_t>(items.size())) {
            return items[static_cast<std::size_t>(at)];
        }
    }
    return Value::undefined(key.text());
}

}  // namespace lathe::jinja
