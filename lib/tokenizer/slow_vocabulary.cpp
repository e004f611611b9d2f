#include "lib/tokenizer/slow_vocabulary.hpp"

#include <string>
#include <string_view>
#include <vector>

#include "lib/core/errors.hpp"
#include "lib/core/file.hpp"
#include "lib/core/json.hpp"
#include "lib/core/text_input.hpp"

namespace lathe::tokenizer {
namespace {

using nlohmann::json;

/// Without their line ends; no empty ones at the end.
std::vector<std::string> lines_of(const std::filesystem::path& file) {
    const std::string text = read_text_file(file);
    std::vector<std::string> lines;
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        std::string_view line = std::string_view(text).substr(begin, end - begin);
        if (line.ends_with('\r')) line.remove_suffix(1);
        lines.emplace_back(line);
        begin = end + 1;
    }
    while (!lines.empty() && lines.back().empty()) lines.pop_back();
    return lines;
}

/// White space at the end of a line is no part of its token.
std::string without_trailing_space(std::string line) {
    const std::size_t last = line.find_last_not_of(" \t\v\f\r");
    line.resize(last == std::string::npos ? 0 : last + 1);
    return line;
}

}  // namespace

json read_vocab_and_merges(const std::filesystem::path& vocab,
                           const std::filesystem::path& merges) {
    json model{{"vocab", parse_json(read_file(vocab), vocab.string())}, {"merges", json::array()}};
    const std::vector<std::string> lines = lines_of(merges);
    for (std::size_t i = 0; i < lines.size(); ++i) {
        const std::string& line = lines[i];
        if (line.starts_with("#version")) continue;
        const std::size_t space = line.find(' ');
        if (space == std::string::npos || line.find(' ', space + 1) != std::string::npos) {
            throw DataError(merges.string() + ": line " + std::to_string(i + 1) + " is \"" + line +
                            "\", expected two tokens with one space between them");
        }
        model["merges"].push_back({line.substr(0, space), line.substr(space + 1)});
    }
    return model;
}

json read_vocab_lines(const std::filesystem::path& vocab) {
    json tokens = json::object();
    const std::vector<std::string> lines = lines_of(vocab);
    for (std::size_t i = 0; i < lines.size(); ++i) tokens[without_trailing_space(lines[i])] = i;
    if (tokens.empty()) throw DataError(vocab.string() + " is empty; expected one token a line");
    return {{"vocab", std::move(tokens)}};
}

}  // namespace lathe::tokenizer
