#include "lib/tokenizer/normalizer.hpp"

#include <utility>
#include <vector>

#include "lib/core/errors.hpp"
#include "lib/core/utf8.hpp"
#include "lib/tokenizer/base64.hpp"
#include "lib/tokenizer/byte_alphabet.hpp"
#include "lib/tokenizer/component_table.hpp"
#include "lib/tokenizer/pattern.hpp"
#include "lib/tokenizer/precompiled_map.hpp"
#include "lib/tokenizer/unicode.hpp"

namespace lathe::tokenizer {
namespace {

using Result = std::unique_ptr<Normalizer>;

class NormalFormNormalizer final : public Normalizer {
public:
    explicit NormalFormNormalizer(NormalForm form) : form_(form) {}
    void apply(Section& section) const override {
        section.text = to_normal_form(section.text, form_);
    }

private:
    NormalForm form_;
};

class Lowercase final : public Normalizer {
public:
    void apply(Section& section) const override {
        std::string out;
        out.reserve(section.text.size());
        for (std::size_t i = 0; i < section.text.size();) {
            append_lowercase(out, next_code_point(section.text, i));
        }
        section.text = std::move(out);
    }
};

class StripAccents final : public Normalizer {
public:
    void apply(Section& section) const override { remove_if(section, is_mark); }
};

class Prepend final : public Normalizer {
public:
    explicit Prepend(std::string text) : text_(std::move(text)) {}
    void apply(Section& section) const override {
        if (!section.text.empty()) section.text.insert(0, text_);
    }

private:
    std::string text_;
};

class Replace final : public Normalizer {
public:
    Replace(std::unique_ptr<Pattern> pattern, std::string content)
        : pattern_(std::move(pattern)), content_(std::move(content)) {}
    void apply(Section& section) const override {
        if (content_.empty() && drops_first(section.text)) section.at_start = false;
        section.text = replace_matches(*pattern_, section.text, content_);
    }

private:
    /// Whether a match begins `text`.
    bool drops_first(std::string_view text) const {
        std::vector<Stretch> stretches;
        pattern_->cut(text, stretches);
        return !stretches.empty() && stretches.front().is_match && stretches.front().end > 0;
    }

    std::unique_ptr<Pattern> pattern_;
    std::string content_;
};

class Strip final : public Normalizer {
public:
    Strip(bool left, bool right) : left_(left), right_(right) {}
    void apply(Section& section) const override {
        std::string& text = section.text;
        if (right_) text.resize(trailing_space_begin(text));
        if (!left_) return;
        const std::size_t n_leading = leading_space_end(text);
        if (n_leading > 0) section.at_start = false;
        text.erase(0, n_leading);
    }

private:
    static std::size_t leading_space_end(std::string_view text) {
        std::size_t end = 0;
        for (std::size_t i = 0; i < text.size(); end = i) {
            if (!is_white_space(next_code_point(text, i))) break;
        }
        return end;
    }
    static std::size_t trailing_space_begin(std::string_view text) {
        std::size_t begin = text.size();
        for (std::size_t i = begin; i > 0; begin = i) {
            if (!is_white_space(previous_code_point(text, i))) break;
        }
        return begin;
    }

    bool left_;
    bool right_;
};

/// Of SentencePiece.
class Precompiled final : public Normalizer {
public:
    explicit Precompiled(PrecompiledMap map) : map_(std::move(map)) {}
    void apply(Section& section) const override {
        std::string out = map_.apply(section.text);
        if (!section.text.empty() && out.empty()) section.at_start = false;
        section.text = std::move(out);
    }

private:
    PrecompiledMap map_;
};

/// Drops control characters and makes spaces of white space and of what is invisible, as programs
/// for machine translation do.
class Nmt final : public Normalizer {
public:
    void apply(Section& section) const override {
        remove_if(section, [](char32_t c) {
            return (c >= 0x1 && c <= 0x8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F ||
                   c == 0x8F || c == 0x9F;
        });
        std::string out;
        out.reserve(section.text.size());
        for (std::size_t i = 0; i < section.text.size();) {
            const char32_t c = next_code_point(section.text, i);
            append_utf8(out, is_space(c) ? U' ' : c);
        }
        section.text = std::move(out);
    }

private:
    static bool is_space(char32_t c) {
        return c == 0x9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 ||
               (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
               c == 0xFEFF || c == 0xFFFD;
    }
};

/// Each byte as its character of the byte alphabet.
class ByteLevelNormalizer final : public Normalizer {
public:
    void apply(Section& section) const override {
        std::string out;
        append_byte_characters(out, section.text);
        section.text = std::move(out);
    }
};

class NormalizerSequence final : public Normalizer {
public:
    explicit NormalizerSequence(std::vector<Result> steps) : steps_(std::move(steps)) {}
    void apply(Section& section) const override {
        for (const Result& step : steps_) step->apply(section);
    }

private:
    std::vector<Result> steps_;
};

template <NormalForm form>
Result read_normal_form(const JsonPlace& /*place*/) {
    return std::make_unique<NormalFormNormalizer>(form);
}

template <class Kind>
Result read_without_settings(const JsonPlace& /*place*/) {
    return std::make_unique<Kind>();
}

Result read_precompiled(const JsonPlace& place) {
    const JsonPlace map = place.at("precompiled_charsmap");
    const auto bytes = from_base64(map.string());
    if (!bytes) map.fail("expected base64");
    try {
        return std::make_unique<Precompiled>(PrecompiledMap(*bytes));
    } catch (const DataError& error) {
        map.fail(error.what());
    }
}

Result read_prepend(const JsonPlace& place) {
    return std::make_unique<Prepend>(place.at("prepend").string());
}

Result read_replace(const JsonPlace& place) {
    return std::make_unique<Replace>(read_pattern(place.at("pattern")),
                                     place.at("content").string());
}

Result read_strip(const JsonPlace& place) {
    return std::make_unique<Strip>(place.at("strip_left").boolean(),
                                   place.at("strip_right").boolean());
}

Result read_sequence(const JsonPlace& place) {
    std::vector<Result> steps;
    for (const JsonPlace& item : place.at("normalizers").items()) {
        steps.push_back(read_normalizer(item));
    }
    return std::make_unique<NormalizerSequence>(std::move(steps));
}

constexpr ComponentKind<Normalizer> kinds[] = {
    {"BertNormalizer", read_bert_normalizer},
    {"ByteLevel", read_without_settings<ByteLevelNormalizer>},
    {"Lowercase", read_without_settings<Lowercase>},
    {"NFC", read_normal_form<NormalForm::nfc>},
    {"NFD", read_normal_form<NormalForm::nfd>},
    {"NFKC", read_normal_form<NormalForm::nfkc>},
    {"NFKD", read_normal_form<NormalForm::nfkd>},
    {"Nmt", read_without_settings<Nmt>},
    {"Precompiled", read_precompiled},
    {"Prepend", read_prepend},
    {"Replace", read_replace},
    {"Sequence", read_sequence},
    {"Strip", read_strip},
    {"StripAccents", read_without_settings<StripAccents>},
};

}  // namespace

void remove_if(Section& section, bool (*drops)(char32_t)) {
    std::string out;
    out.reserve(section.text.size());
    for (std::size_t i = 0; i < section.text.size();) {
        const std::size_t begin = i;
        const char32_t c = next_code_point(section.text, i);
        if (!drops(c)) {
            out.append(section.text, begin, i - begin);
        } else if (begin == 0) {
            section.at_start = false;
        }
    }
    section.text = std::move(out);
}

Result read_normalizer(const JsonPlace& place) {
    if (place.is_null()) return std::make_unique<NormalizerSequence>(std::vector<Result>{});
    return read_component<Normalizer>(place, "normalizer", kinds);
}

}  // namespace lathe::tokenizer
