#include "lib/tokenizer/regex_dialect.hpp"

#include <algorithm>
#include <utility>

#include "lib/core/errors.hpp"

namespace lathe::tokenizer {
namespace {

/// Oniguruma's \w inside a class. Outside of one it has its own rule for Latin-1, which adds some
/// digits and fractions.
constexpr std::string_view word_set = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
constexpr std::string_view latin_word_set = "\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}";

/// Its named sets, as the insides of a class.
constexpr std::pair<std::string_view, std::string_view> named_sets[] = {
    {"alnum", "\\p{Alphabetic}\\p{Nd}"},
    {"alpha", "\\p{Alphabetic}"},
    {"blank", "\\t\\p{Zs}"},
    {"cntrl", "\\p{Cc}"},
    {"digit", "\\p{Nd}"},
    {"lower", "\\p{Lowercase}"},
    {"punct", "\\p{P}\\p{S}"},
    {"space", "\\p{White_Space}"},
    {"upper", "\\p{Uppercase}"},
    {"word", word_set},
    {"xdigit", "0-9A-Fa-f"},
};

class Translator {
public:
    explicit Translator(std::string_view pattern) : pattern_(pattern) {}

    std::string run() {
        while (position_ < pattern_.size()) {
            const char c = pattern_[position_];
            if (c == '\\') {
                translate_escape();
            } else if (in_class_) {
                translate_in_class(c);
            } else {
                translate_outside(c);
            }
        }
        return std::move(out_);
    }

private:
    [[noreturn]] void refuse(const std::string& construct) const {
        throw DataError("the pattern \"" + std::string(pattern_) + "\" uses " + construct +
                        ", which is not supported");
    }

    bool looking_at(std::string_view text) const {
        return pattern_.substr(position_).starts_with(text);
    }

    void copy(std::size_t length) {
        out_ += pattern_.substr(position_, length);
        position_ += length;
    }

    void replace(std::size_t length, std::string_view replacement) {
        out_ += replacement;
        position_ += length;
    }

    void translate_escape() {
        const char kind = position_ + 1 < pattern_.size() ? pattern_[position_ + 1] : '\0';
        if (!in_class_ && translate_word_escape(kind)) return;
        switch (kind) {
            case 's':
                return replace(2, "\\p{White_Space}");
            case 'S':
                return replace(2, "\\P{White_Space}");
            case 'w':
                return replace(2, word_set);
            case 'h':
                return replace(2, in_class_ ? "0-9A-Fa-f" : "[0-9A-Fa-f]");
            case 'u':
                return translate_code_point();
            case 'W':
            case 'H':
                refuse(std::string("\\") + kind + " inside [...]");
            case 'g':
            case 'Q':
            case 'X':
            case 'O':
            case 'y':
            case 'Y':
                refuse(std::string("\\") + kind);
            default:
                return copy(escape_length());
        }
    }

    /// Escapes that need a set of their own, or look at the characters on both sides.
    bool translate_word_escape(char kind) {
        const std::string set = std::string(word_set) + std::string(latin_word_set);
        const std::string word = "[" + set + "]";
        switch (kind) {
            case 'w':
                replace(2, word);
                return true;
            case 'W':
                replace(2, "[^" + set + "]");
                return true;
            case 'H':
                replace(2, "[^0-9A-Fa-f]");
                return true;
            case 'b':
                replace(2,
                        "(?:(?<=" + word + ")(?!" + word + ")|(?<!" + word + ")(?=" + word + "))");
                return true;
            case 'B':
                replace(2,
                        "(?:(?<=" + word + ")(?=" + word + ")|(?<!" + word + ")(?!" + word + "))");
                return true;
            default:
                return false;
        }
    }

    /// Bytes of the escape at the current position, with the braces of \p{L} and \x{41}.
    std::size_t escape_length() const {
        const std::string_view rest = pattern_.substr(position_);
        const bool has_braces = rest.size() > 2 && rest[2] == '{' &&
                                std::string_view("pPx").find(rest[1]) != std::string_view::npos;
        const std::size_t end = has_braces ? rest.find('}') : 1;
        return std::min(end == std::string_view::npos ? rest.size() : end + 1, rest.size());
    }

    void translate_code_point() {
        const std::string_view digits = pattern_.substr(position_ + 2).substr(0, 4);
        if (digits.size() != 4 ||
            digits.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos) {
            refuse("\\u without four hexadecimal digits");
        }
        replace(6, "\\x{" + std::string(digits) + "}");
    }

    void translate_in_class(char c) {
        if (looking_at("&&")) refuse("&& inside [...]");
        if (looking_at("[:")) return translate_named_set();
        if (c == '[') refuse("a set inside [...]");
        if (c == ']') in_class_ = false;
        copy(1);
    }

    /// "[:alpha:]" and the like inside a class.
    void translate_named_set() {
        const std::size_t end = std::min(pattern_.find(":]", position_), pattern_.size());
        const std::string_view name = pattern_.substr(position_ + 2, end - position_ - 2);
        for (const auto& [known, set] : named_sets) {
            if (name == known) return replace(name.size() + 4, set);
        }
        refuse("[:" + std::string(name) + ":]");
    }

    void translate_outside(char c) {
        if (c == '[') {
            in_class_ = true;
            copy(looking_at("[^") ? 2 : 1);
            // A bracket that comes first stands for itself.
            if (looking_at("]")) replace(1, "\\]");
        } else if (looking_at("(?") && !looking_at("(?#")) {
            if (is_call()) refuse("a group that calls a group");
            translate_group();
        } else if (looking_at("}+")) {
            refuse("{...}+");
        } else if (looking_at("{,")) {
            refuse("{,n}");
        } else {
            copy(1);
        }
    }

    /// "(?R)", "(?1)", "(?-1)", "(?&name)", "(?P>name)": a group that calls a group, which may
    /// never end.
    bool is_call() const {
        const std::string_view kind = pattern_.substr(position_ + 2, 2);
        if (kind.starts_with("P>") || kind.starts_with('R') || kind.starts_with('&')) return true;
        const bool has_sign = kind.starts_with('+') || kind.starts_with('-');
        const char digit = kind.size() > (has_sign ? 1 : 0) ? kind[has_sign ? 1 : 0] : '\0';
        return digit >= '0' && digit <= '9';
    }

    /// Copies "(?imx-imx" with the letters of PCRE2; other groups have no letter m there.
    void translate_group() {
        const bool is_first = position_ == 0;
        copy(2);
        while (position_ < pattern_.size() &&
               std::string_view("imx-").find(pattern_[position_]) != std::string_view::npos) {
            if (pattern_[position_] == 'm') {
                replace(1, "s");
            } else {
                copy(1);
            }
        }
        // In Ruby a(?i)b|c means a(?i:b|c).
        if (looking_at(")") && !is_first) refuse("(?i) behind its beginning");
    }

    std::string_view pattern_;
    std::size_t position_ = 0;
    bool in_class_ = false;
    std::string out_;
};

}  // namespace

std::string to_pcre2_pattern(std::string_view pattern) {
    return Translator(pattern).run();
}

}  // namespace lathe::tokenizer
