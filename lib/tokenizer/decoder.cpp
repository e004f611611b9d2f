#include "lib/tokenizer/decoder.hpp"

#include <cctype>
#include <optional>
#include <utility>

#include "lib/core/utf8.hpp"
#include "lib/tokenizer/byte_alphabet.hpp"
#include "lib/tokenizer/component_table.hpp"
#include "lib/tokenizer/pattern.hpp"
#include "lib/tokenizer/unicode.hpp"

namespace lathe::tokenizer {
namespace {

using Result = std::unique_ptr<Decoder>;
using Tokens = std::vector<std::string>;

/// Replaces every `from` (not empty) in `text`, from left to right.
void replace_all(std::string& text, std::string_view from, std::string_view to) {
    std::size_t at = text.find(from);
    while (at != std::string::npos) {
        text.replace(at, from.size(), to);
        at = text.find(from, at + to.size());
    }
}

class ByteLevelDecoder final : public Decoder {
public:
    void apply(Tokens& tokens) const override {
        std::string bytes;
        for (const std::string& token : tokens) append_bytes_of_characters(bytes, token);
        tokens.assign(1, repair_utf8(bytes));
    }
};

/// "<0xE2>" and its like become bytes. A run of them that is not valid UTF-8 becomes one U+FFFD for
/// each byte.
class ByteFallbackDecoder final : public Decoder {
public:
    void apply(Tokens& tokens) const override {
        Tokens out;
        std::string bytes;
        for (std::string& token : tokens) {
            if (const std::optional<char> byte = byte_of(token)) {
                bytes.push_back(*byte);
                continue;
            }
            flush(bytes, out);
            out.push_back(std::move(token));
        }
        flush(bytes, out);
        tokens = std::move(out);
    }

private:
    static std::optional<char> byte_of(std::string_view token) {
        if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return {};
        const auto digit = [&](std::size_t i) { return static_cast<unsigned char>(token[i]); };
        if (std::isxdigit(digit(3)) == 0 || std::isxdigit(digit(4)) == 0) return {};
        return static_cast<char>(std::stoi(std::string(token.substr(3, 2)), nullptr, 16));
    }

    static void flush(std::string& bytes, Tokens& out) {
        if (bytes.empty()) return;
        if (is_valid_utf8(bytes)) {
            out.push_back(bytes);
        } else {
            out.insert(out.end(), bytes.size(), "\xEF\xBF\xBD");
        }
        bytes.clear();
    }
};

class Fuse final : public Decoder {
public:
    void apply(Tokens& tokens) const override {
        std::string text;
        for (const std::string& token : tokens) text += token;
        tokens.assign(1, std::move(text));
    }
};

/// Cuts up to `start` and `stop` times `content` from the ends of each token.
class StripDecoder final : public Decoder {
public:
    StripDecoder(std::string content, std::size_t start, std::size_t stop)
        : content_(std::move(content)), start_(start), stop_(stop) {}
    void apply(Tokens& tokens) const override {
        for (std::string& token : tokens) {
            std::string_view left = token;
            for (std::size_t i = 0; i < start_ && left.starts_with(content_); ++i) {
                left.remove_prefix(content_.size());
            }
            for (std::size_t i = 0; i < stop_ && left.ends_with(content_); ++i) {
                left.remove_suffix(content_.size());
            }
            token = std::string(left);
        }
    }

private:
    std::string content_;
    std::size_t start_;
    std::size_t stop_;
};

class ReplaceDecoder final : public Decoder {
public:
    ReplaceDecoder(std::unique_ptr<Pattern> pattern, std::string content)
        : pattern_(std::move(pattern)), content_(std::move(content)) {}
    void apply(Tokens& tokens) const override {
        for (std::string& token : tokens) token = replace_matches(*pattern_, token, content_);
    }

private:
    std::unique_ptr<Pattern> pattern_;
    std::string content_;
};

class MetaspaceDecoder final : public Decoder {
public:
    MetaspaceDecoder(std::string replacement, bool drops_first)
        : replacement_(std::move(replacement)), drops_first_(drops_first) {}
    void apply(Tokens& tokens) const override {
        for (std::size_t i = 0; i < tokens.size(); ++i) {
            replace_all(tokens[i], replacement_, i == 0 && drops_first_ ? "" : " ");
        }
    }

private:
    std::string replacement_;
    bool drops_first_;
};

class WordPieceDecoder final : public Decoder {
public:
    WordPieceDecoder(std::string prefix, bool cleanup)
        : prefix_(std::move(prefix)), cleanup_(cleanup) {}
    void apply(Tokens& tokens) const override {
        for (std::size_t i = 0; i < tokens.size(); ++i) {
            std::string& token = tokens[i];
            if (i > 0) {
                if (token.starts_with(prefix_)) {
                    token.erase(0, prefix_.size());
                } else {
                    token.insert(0, " ");
                }
            }
            if (cleanup_) clean(token);
        }
    }

private:
    /// Undoes the spaces that cutting at punctuation brought in, in English.
    static void clean(std::string& token) {
        static constexpr std::pair<std::string_view, std::string_view> rules[] = {
            {" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},
            {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},   {" do not", " don't"},
            {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
        };
        for (const auto& [from, to] : rules) replace_all(token, from, to);
    }

    std::string prefix_;
    bool cleanup_;
};

/// Marks of word ends become spaces, the last one nothing.
class WordEndDecoder final : public Decoder {
public:
    explicit WordEndDecoder(std::string suffix) : suffix_(std::move(suffix)) {}
    void apply(Tokens& tokens) const override {
        for (std::size_t i = 0; i < tokens.size(); ++i) {
            replace_all(tokens[i], suffix_, i + 1 == tokens.size() ? "" : " ");
        }
    }

private:
    std::string suffix_;
};

class JoinBySpaces final : public Decoder {
public:
    void apply(Tokens& tokens) const override {
        for (std::size_t i = 1; i < tokens.size(); ++i) tokens[i].insert(0, " ");
    }
};

class DecoderSequence final : public Decoder {
public:
    explicit DecoderSequence(std::vector<Result> steps) : steps_(std::move(steps)) {}
    void apply(Tokens& tokens) const override {
        for (const Result& step : steps_) step->apply(tokens);
    }

private:
    std::vector<Result> steps_;
};

template <class Kind>
Result read_without_settings(const JsonPlace& /*place*/) {
    return std::make_unique<Kind>();
}

std::string read_character(const JsonPlace& place) {
    std::string text;
    append_utf8(text, place.character());
    return text;
}

Result read_strip(const JsonPlace& place) {
    return std::make_unique<StripDecoder>(read_character(place.at("content")),
                                          place.at("start").integer(), place.at("stop").integer());
}

Result read_replace(const JsonPlace& place) {
    return std::make_unique<ReplaceDecoder>(read_pattern(place.at("pattern")),
                                            place.at("content").string());
}

Result read_metaspace(const JsonPlace& place) {
    const auto scheme = place.find("prepend_scheme");
    const bool prepends =
        scheme ? scheme->string() != "never" : place.boolean_or("add_prefix_space", true);
    return std::make_unique<MetaspaceDecoder>(read_character(place.at("replacement")), prepends);
}

Result read_wordpiece(const JsonPlace& place) {
    return std::make_unique<WordPieceDecoder>(place.string_or("prefix", "##"),
                                              place.boolean_or("cleanup", true));
}

Result read_word_end(const JsonPlace& place) {
    std::string suffix = place.string_or("suffix", "</w>");
    if (suffix.empty()) place.fail("the suffix is empty");
    return std::make_unique<WordEndDecoder>(std::move(suffix));
}

Result read_sequence(const JsonPlace& place) {
    std::vector<Result> steps;
    for (const JsonPlace& item : place.at("decoders").items()) {
        steps.push_back(read_decoder(item));
    }
    return std::make_unique<DecoderSequence>(std::move(steps));
}

constexpr ComponentKind<Decoder> kinds[] = {
    {"BPEDecoder", read_word_end},
    {"ByteFallback", read_without_settings<ByteFallbackDecoder>},
    {"ByteLevel", read_without_settings<ByteLevelDecoder>},
    {"Fuse", read_without_settings<Fuse>},
    {"Metaspace", read_metaspace},
    {"Replace", read_replace},
    {"Sequence", read_sequence},
    {"Strip", read_strip},
    {"WordPiece", read_wordpiece},
};

}  // namespace

Result read_decoder(const JsonPlace& place) {
    if (place.is_null()) return std::make_unique<JoinBySpaces>();
    return read_component<Decoder>(place, "decoder", kinds);
}

}  // namespace lathe::tokenizer
