#include <algorithm>

#include "lib/core/errors.hpp"
#include "lib/core/json.hpp"
#include "lib/template/value.hpp"
#include "lib/template/work.hpp"

namespace lathe::jinja {
namespace {

/// A line break and so many steps to the right; nothing on one line.
std::string line(const JsonStyle& style, int depth) {
    if (style.indent < 0) return "";
    return "\n" + std::string(static_cast<std::size_t>(style.indent * depth), ' ');
}

std::string json_string(const std::string& text, const JsonStyle& style) {
    // Python takes surrogates that stand alone; here they are no text.
    return nlohmann::json(text).dump(-1, ' ', style.ensure_ascii,
                                     nlohmann::json::error_handler_t::replace);
}

/// Items between brackets. Python puts no space before a line break.
std::string bracketed(const std::vector<std::string>& items, const char* brackets,
                      const JsonStyle& style, int depth) {
    std::string text(1, brackets[0]);
    for (std::size_t i = 0; i < items.size(); ++i) {
        text += (i == 0 ? "" : style.item_separator) + line(style, depth + 1) + items[i];
    }
    if (!items.empty()) text += line(style, depth);
    Work::spend_on_text(text.size());
    return text + brackets[1];
}

}  // namespace

std::string to_json(const Value& value, const JsonStyle& style, int depth) {
    if (value.is_none()) return "null";
    if (const auto* flag = value.as<bool>()) return *flag ? "true" : "false";
    if (value.is_number()) return value.quoted();
    if (value.is_string()) return json_string(value.string(), style);
    std::vector<std::string> items;
    if (const auto* sequence = value.as_sequence()) {
        for (const Value& item : sequence->items) items.push_back(to_json(item, style, depth + 1));
        return bracketed(items, "[]", style, depth);
    }
    const Dict* dict = value.as_dict();
    if (dict == nullptr) {
        throw DataError("tojson: a value that is " + std::string(value.kind()) + " has no JSON");
    }
    auto entries = dict->items;
    if (style.sort_keys) {
        std::ranges::sort(entries,
                          [](const auto& a, const auto& b) { return less(a.first, b.first); });
    }
    for (const auto& [key, item] : entries) {
        items.push_back(json_string(key.text(), style) + style.key_separator +
                        to_json(item, style, depth + 1));
    }
    return bracketed(items, "{}", style, depth);
}

}  // namespace lathe::jinja
