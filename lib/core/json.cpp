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

nlohmann::json try_parse_json(std::string_view text) {
    return nlohmann::json::parse(text, nullptr, false);
}

}  // namespace lathe
