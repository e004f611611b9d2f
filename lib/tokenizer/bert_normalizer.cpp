#include <utility>

#include "lib/core/utf8.hpp"
#include "lib/tokenizer/normalizer.hpp"
#include "lib/tokenizer/unicode.hpp"

namespace lathe::tokenizer {
namespace {

bool is_chinese(char32_t c) {
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
           (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
           (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
           (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

class BertNormalizer final : public Normalizer {
public:
    BertNormalizer(bool clean_text, bool space_chinese, bool strip_accents, bool lowercase)
        : clean_text_(clean_text),
          space_chinese_(space_chinese),
          strip_accents_(strip_accents),
          lowercase_(lowercase) {}

    void apply(Section& section) const override {
        if (clean_text_) {
            remove_if(section, [](char32_t c) {
                return c == 0xFFFD || (is_control(c) && !is_line_space(c));
            });
            rewrite(section.text, append_plain_space);
        }
        if (space_chinese_) rewrite(section.text, append_spaced);
        if (strip_accents_) {
            section.text = to_normal_form(section.text, NormalForm::nfd);
            remove_if(section, is_accent);
        }
        if (lowercase_) rewrite(section.text, append_lowercase);
    }

private:
    /// Tab and line ends are control characters too, but count as space here.
    static bool is_line_space(char32_t c) { return c == '\t' || c == '\n' || c == '\r'; }

    static bool is_accent(char32_t c) { return c >= 0x80 && is_nonspacing_mark(c); }

    static void append_plain_space(std::string& out, char32_t c) {
        append_utf8(out, is_white_space(c) ? U' ' : c);
    }

    static void append_spaced(std::string& out, char32_t c) {
        if (!is_chinese(c)) return append_utf8(out, c);
        out.push_back(' ');
        append_utf8(out, c);
        out.push_back(' ');
    }

    /// Replaces each code point by what `append` makes of it.
    template <class Append>
    static void rewrite(std::string& text, Append append) {
        std::string out;
        out.reserve(text.size());
        for (std::size_t i = 0; i < text.size();) append(out, next_code_point(text, i));
        text = std::move(out);
    }

    bool clean_text_;
    bool space_chinese_;
    bool strip_accents_;
    bool lowercase_;
};

}  // namespace

std::unique_ptr<Normalizer> read_bert_normalizer(const JsonPlace& place) {
    const bool lowercase = place.at("lowercase").boolean();
    // null means: as for lowercase, which is what the BERT of 2018 did.
    return std::make_unique<BertNormalizer>(
        place.at("clean_text").boolean(), place.at("handle_chinese_chars").boolean(),
        place.boolean_or("strip_accents", lowercase), lowercase);
}

}  // namespace lathe::tokenizer
