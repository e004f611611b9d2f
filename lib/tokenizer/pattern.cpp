#include "lib/tokenizer/pattern.hpp"

#include <string>
#include <utility>

#include "lib/core/errors.hpp"
#include "lib/tokenizer/regex.hpp"
#include "lib/tokenizer/unicode.hpp"

namespace lathe::tokenizer {
namespace {

void add_gap(std::size_t begin, std::size_t end, std::vector<Stretch>& stretches) {
    if (begin < end) stretches.push_back({begin, end, false});
}

class RegexPattern final : public Pattern {
public:
    explicit RegexPattern(std::string_view expression) : regex_(expression) {}

    void cut(std::string_view text, std::vector<Stretch>& stretches) const override {
        if (text.empty()) return;
        std::vector<Span> matches;
        regex_.find_all(text, matches);
        std::size_t done = 0;
        for (const Span& match : matches) {
            add_gap(done, match.begin, stretches);
            stretches.push_back({match.begin, match.end, true});
            done = match.end;
        }
        add_gap(done, text.size(), stretches);
    }

private:
    Regex regex_;
};

class LiteralPattern final : public Pattern {
public:
    explicit LiteralPattern(std::string_view text) : text_(text) {}

    void cut(std::string_view text, std::vector<Stretch>& stretches) const override {
        std::size_t done = 0;
        for (std::size_t at = text.find(text_); at != std::string_view::npos;
             at = text.find(text_, done)) {
            add_gap(done, at, stretches);
            done = at + text_.size();
            stretches.push_back({at, done, true});
        }
        add_gap(done, text.size(), stretches);
    }

private:
    std::string text_;
};

class CharacterPattern final : public Pattern {
public:
    explicit CharacterPattern(bool (*holds)(char32_t)) : holds_(holds) {}

    void cut(std::string_view text, std::vector<Stretch>& stretches) const override {
        std::size_t done = 0;
        for (std::size_t at = 0; at < text.size();) {
            const std::size_t begin = at;
            if (!holds_(next_code_point(text, at))) continue;
            add_gap(done, begin, stretches);
            stretches.push_back({begin, at, true});
            done = at;
        }
        add_gap(done, text.size(), stretches);
    }

private:
    bool (*holds_)(char32_t);
};

}  // namespace

std::unique_ptr<Pattern> make_regex_pattern(std::string_view expression) {
    return std::make_unique<RegexPattern>(expression);
}

std::unique_ptr<Pattern> make_literal_pattern(std::string_view text) {
    // The empty text is found between all characters, as an empty expression is.
    if (text.empty()) return make_regex_pattern("");
    return std::make_unique<LiteralPattern>(text);
}

std::unique_ptr<Pattern> make_character_pattern(bool (*holds)(char32_t)) {
    return std::make_unique<CharacterPattern>(holds);
}

std::unique_ptr<Pattern> read_pattern(const JsonPlace& place) {
    if (const auto literal = place.find("String")) return make_literal_pattern(literal->string());
    const auto expression = place.find("Regex");
    if (!expression) place.fail("expected {\"String\": ...} or {\"Regex\": ...}");
    try {
        return make_regex_pattern(expression->string());
    } catch (const DataError& error) {
        expression->fail(error.what());
    }
}

std::string replace_matches(const Pattern& pattern, std::string_view text,
                            std::string_view content) {
    std::vector<Stretch> stretches;
    pattern.cut(text, stretches);
    std::string out;
    out.reserve(text.size());
    for (const Stretch& stretch : stretches) {
        out += stretch.is_match ? content : text.substr(stretch.begin, stretch.end - stretch.begin);
    }
    return out;
}

}  // namespace lathe::tokenizer
