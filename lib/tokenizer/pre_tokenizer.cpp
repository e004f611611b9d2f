#include "lib/tokenizer/pre_tokenizer.hpp"

#include <optional>
#include <utility>

#include "lib/core/utf8.hpp"
#include "lib/tokenizer/byte_alphabet.hpp"
#include "lib/tokenizer/component_table.hpp"
#include "lib/tokenizer/regex_dialect.hpp"
#include "lib/tokenizer/splitter.hpp"
#include "lib/tokenizer/unicode.hpp"

namespace lathe::tokenizer {
namespace {

using Result = std::unique_ptr<PreTokenizer>;

/// Copies the words into a new buffer; `append(out, word, is_at_start)` writes one.
template <class Append>
void rewrite_words(PreTokenizedText& text, Append append) {
    std::string out;
    out.reserve(text.text.size() + text.text.size() / 2);
    for (Span& word : text.words) {
        const bool is_at_start = text.at_start && word.begin == 0;
        const std::size_t begin = out.size();
        append(out, text.word(word), is_at_start);
        if (begin == 0) text.at_start = is_at_start;
        word = {begin, out.size()};
    }
    text.text = std::move(out);
}

/// All kinds that only cut: one splitter after the other.
class SplitPreTokenizer final : public PreTokenizer {
public:
    explicit SplitPreTokenizer(std::unique_ptr<Pattern> pattern, SplitBehavior behavior,
                               bool invert = false) {
        and_then(std::move(pattern), behavior, invert);
    }
    void and_then(std::unique_ptr<Pattern> pattern, SplitBehavior behavior, bool invert = false) {
        splitters_.emplace_back(std::move(pattern), behavior, invert);
    }
    void apply(PreTokenizedText& text) const override {
        for (const Splitter& splitter : splitters_) splitter.apply(text);
    }

private:
    std::vector<Splitter> splitters_;
};

class ByteLevel final : public PreTokenizer {
public:
    ByteLevel(bool add_prefix_space, bool use_regex) : add_prefix_space_(add_prefix_space) {
        if (!use_regex) return;
        splitter_.emplace(
            make_regex_pattern("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+"
                               "|\\s+(?!\\S)|\\s+"),
            SplitBehavior::isolated);
    }

    void apply(PreTokenizedText& text) const override {
        if (add_prefix_space_) {
            rewrite_words(text, [](std::string& out, std::string_view word, bool /*at_start*/) {
                if (!word.starts_with(' ')) out.push_back(' ');
                out += word;
            });
        }
        if (splitter_) splitter_->apply(text);
        rewrite_words(text, [](std::string& out, std::string_view word, bool /*at_start*/) {
            append_byte_characters(out, word);
        });
    }

private:
    bool add_prefix_space_;
    std::optional<Splitter> splitter_;
};

enum class PrependScheme { always, first, never };

class Metaspace final : public PreTokenizer {
public:
    Metaspace(std::string replacement, PrependScheme scheme, bool split)
        : replacement_(std::move(replacement)), scheme_(scheme) {
        if (split) {
            splitter_.emplace(make_literal_pattern(replacement_), SplitBehavior::merged_with_next);
        }
    }

    void apply(PreTokenizedText& text) const override {
        rewrite_words(text, [this](std::string& out, std::string_view word, bool at_start) {
            const bool prepends =
                scheme_ == PrependScheme::always || (scheme_ == PrependScheme::first && at_start);
            const bool has_prefix = word.starts_with(' ') || word.starts_with(replacement_);
            if (prepends && !has_prefix) out += replacement_;
            for (const char c : word) {
                if (c == ' ') {
                    out += replacement_;
                } else {
                    out.push_back(c);
                }
            }
        });
        if (splitter_) splitter_->apply(text);
    }

private:
    std::string replacement_;
    PrependScheme scheme_;
    std::optional<Splitter> splitter_;
};

class PreTokenizerSequence final : public PreTokenizer {
public:
    explicit PreTokenizerSequence(std::vector<Result> steps) : steps_(std::move(steps)) {}
    void apply(PreTokenizedText& text) const override {
        for (const Result& step : steps_) step->apply(text);
    }

private:
    std::vector<Result> steps_;
};

Result read_byte_level(const JsonPlace& place) {
    // trim_offsets changes positions in the text only, never ids.
    return std::make_unique<ByteLevel>(place.at("add_prefix_space").boolean(),
                                       place.boolean_or("use_regex", true));
}

Result read_split(const JsonPlace& place) {
    return std::make_unique<SplitPreTokenizer>(read_pattern(place.at("pattern")),
                                               read_split_behavior(place.at("behavior")),
                                               place.boolean_or("invert", false));
}

Result read_digits(const JsonPlace& place) {
    const bool individual = place.at("individual_digits").boolean();
    return std::make_unique<SplitPreTokenizer>(
        make_character_pattern(is_numeric),
        individual ? SplitBehavior::isolated : SplitBehavior::contiguous);
}

Result read_whitespace(const JsonPlace& /*place*/) {
    const std::string word(rust_word_set);
    return std::make_unique<SplitPreTokenizer>(
        make_regex_pattern("[" + word + "]+|[^" + word + "\\s]+"), SplitBehavior::removed, true);
}

Result read_whitespace_split(const JsonPlace& /*place*/) {
    return std::make_unique<SplitPreTokenizer>(make_character_pattern(is_white_space),
                                               SplitBehavior::removed);
}

Result read_bert(const JsonPlace& /*place*/) {
    auto result = std::make_unique<SplitPreTokenizer>(make_character_pattern(is_white_space),
                                                      SplitBehavior::removed);
    result->and_then(make_character_pattern(is_punctuation), SplitBehavior::isolated);
    return result;
}

Result read_punctuation(const JsonPlace& place) {
    const auto behavior = place.find("behavior");
    return std::make_unique<SplitPreTokenizer>(
        make_character_pattern(is_punctuation),
        behavior ? read_split_behavior(*behavior) : SplitBehavior::isolated);
}

Result read_char_delimiter_split(const JsonPlace& place) {
    std::string delimiter;
    append_utf8(delimiter, place.at("delimiter").character());
    return std::make_unique<SplitPreTokenizer>(make_literal_pattern(delimiter),
                                               SplitBehavior::removed);
}

PrependScheme read_prepend_scheme(const JsonPlace& place) {
    const auto scheme = place.find("prepend_scheme");
    // Files from before "prepend_scheme" have this switch instead.
    if (!scheme) {
        return place.boolean_or("add_prefix_space", true) ? PrependScheme::always
                                                          : PrependScheme::never;
    }
    if (scheme->string() == "always") return PrependScheme::always;
    if (scheme->string() == "first") return PrependScheme::first;
    if (scheme->string() == "never") return PrependScheme::never;
    scheme->fail("prepend_scheme \"" + scheme->string() +
                 "\" is not known; known are always, first, never");
}

Result read_metaspace(const JsonPlace& place) {
    std::string replacement;
    append_utf8(replacement, place.at("replacement").character());
    return std::make_unique<Metaspace>(std::move(replacement), read_prepend_scheme(place),
                                       place.boolean_or("split", true));
}

Result read_sequence(const JsonPlace& place) {
    std::vector<Result> steps;
    for (const JsonPlace& item : place.at("pretokenizers").items()) {
        steps.push_back(read_pre_tokenizer(item));
    }
    return std::make_unique<PreTokenizerSequence>(std::move(steps));
}

constexpr ComponentKind<PreTokenizer> kinds[] = {
    {"BertPreTokenizer", read_bert},
    {"ByteLevel", read_byte_level},
    {"CharDelimiterSplit", read_char_delimiter_split},
    {"Digits", read_digits},
    {"Metaspace", read_metaspace},
    {"Punctuation", read_punctuation},
    {"Sequence", read_sequence},
    {"Split", read_split},
    {"Whitespace", read_whitespace},
    {"WhitespaceSplit", read_whitespace_split},
};

}  // namespace

Result read_pre_tokenizer(const JsonPlace& place) {
    if (place.is_null()) return std::make_unique<PreTokenizerSequence>(std::vector<Result>{});
    return read_component<PreTokenizer>(place, "pre_tokenizer", kinds);
}

}  // namespace lathe::tokenizer
