#include "lib/core/json.hpp"

#include <algorithm>

#include "lib/core/errors.hpp"

template class nlohmann::basic_json<>;

namespace lathe {
namespace {

constexpr std::size_t most_levels = 500;
constexpr const char* too_deep = "JSON of more than 500 lists and objects within one another";

/// "unexpected end of input; expected ..." without the parser's own numbering.
std::string parser_words(const nlohmann::json::parse_error& error) {
    const std::string text = error.what();
    const auto place = text.find("column ");
    const auto colon = place == std::string::npos ? place : text.find(": ", place);
    // The parser quotes what it read last, which may be a long line.
    constexpr std::size_t longest = 160;
    const std::string words = colon == std::string::npos ? text : text.substr(colon + 2);
    return words.size() > longest ? words.substr(0, longest) + "..." : words;
}

/// `text` with null in place of NaN, Infinity and -Infinity outside of strings. Inside the longer
/// words that are left over (NaNs) the parser finds its own mistake.
std::string without_python_numbers(std::string_view text) {
    std::string out;
    bool in_string = false;
    for (std::size_t i = 0; i < text.size();) {
        if (!in_string) {
            std::size_t length = 0;
            for (const std::string_view name : {"NaN", "Infinity", "-Infinity"}) {
                if (text.substr(i).starts_with(name)) length = name.size();
            }
            if (length > 0) {
                out += "null";
                i += length;
                continue;
            }
        }
        if (in_string && text[i] == '\\' && i + 1 < text.size())
            out.push_back(text[i++]);
        else if (text[i] == '"')
            in_string = !in_string;
        out.push_back(text[i++]);
    }
    return out;
}

}  // namespace

bool is_nested_too_deeply(std::string_view text) noexcept {
    std::size_t level = 0;
    bool in_string = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (in_string) {
            if (c == '\\') ++i;
            if (c == '"') in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++level > most_levels) return true;
        } else if ((c == ']' || c == '}') && level > 0) {
            --level;
        }
    }
    return false;
}

nlohmann::json parse_json(std::string_view text) {
    if (is_nested_too_deeply(text)) throw DataError(too_deep);
    return nlohmann::json::parse(text);
}

nlohmann::json parse_json(std::string_view text, const std::string& where) {
    if (is_nested_too_deeply(text)) throw DataError(where + ": " + too_deep);
    try {
        return nlohmann::json::parse(text);
    } catch (const nlohmann::json::parse_error& error) {
        const std::string_view before = text.substr(0, std::min(error.byte, text.size()));
        const auto line = 1 + std::count(before.begin(), before.end(), '\n');
        const bool has_lines = text.find('\n') != std::string_view::npos;
        throw DataError(where + ": not JSON, " +
                        (has_lines ? "line " + std::to_string(line) + ", " : "") + "byte " +
                        std::to_string(error.byte) + ": " + parser_words(error));
    } catch (const nlohmann::json::out_of_range&) {
        throw DataError(where + ": a number that is too large");
    }
}

nlohmann::json parse_python_json(std::string_view text, const std::string& where) {
    const auto strict = try_parse_json(text);
    if (!strict.is_discarded()) return strict;
    const auto lenient = try_parse_json(without_python_numbers(text));
    // The message is about the text as it stands.
    return lenient.is_discarded() ? parse_json(text, where) : lenient;
}

nlohmann::json try_parse_json(std::string_view text) {
    if (is_nested_too_deeply(text)) return nlohmann::json::value_t::discarded;
    return nlohmann::json::parse(text, nullptr, false);
}

}  // namespace lathe
