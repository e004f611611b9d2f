#include "lib/core/json.hpp"

#include <algorithm>

#include "lib/core/errors.hpp"

template class nlohmann::basic_json<>;

namespace lathe {
namespace {

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

nlohmann::json parse_json(std::string_view text) {
    return nlohmann::json::parse(text);
}

nlohmann::json parse_json(std::string_view text, const std::string& where) {
    try {
        return parse_json(text);
    } catch (const nlohmann::json::parse_error& error) {
        const std::string_view before = text.substr(0, std::min(error.byte, text.size()));
        const auto line = 1 + std::count(before.begin(), before.end(), '\n');
        const bool has_lines = text.find('\n') != std::string_view::npos;
        throw DataError(where + ": not JSON, " +
                        (has_lines ? "line " + std::to_string(line) + ", " : "") + "byte " +
                        std::to_string(error.byte) + ": " + parser_words(error));
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
    return nlohmann::json::parse(text, nullptr, false);
}

}  // namespace lathe
