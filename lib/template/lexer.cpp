#include "lib/template/lexer.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include "lib/core/errors.hpp"
#include "lib/core/utf8.hpp"

namespace lathe::jinja {
namespace {

[[noreturn]] void fail(std::size_t line, const std::string& problem) {
    throw DataError("line " + std::to_string(line) + ": " + problem);
}

bool is_name_start(char c) {
    return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_';
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/// The words of an expression, up to the mark that ends it.
class Words {
public:
    Words(std::string_view source, std::size_t position, std::size_t line)
        : source_(source), at_(position), line_(line) {}

    /// `end`: "}}" or "%}". Leaves position() behind it.
    std::vector<Token> read_until(std::string_view end) {
        std::vector<Token> tokens;
        while (true) {
            skip_space();
            if (at_ >= source_.size()) fail(line_, "expected " + std::string(end));
            sign_ = '\0';
            if (depth_ == 0 && ends_here(end)) break;
            tokens.push_back(next());
        }
        tokens.push_back({Token::Kind::end, "", line_});
        return tokens;
    }

    [[nodiscard]] std::size_t position() const { return at_; }
    [[nodiscard]] std::size_t line() const { return line_; }
    /// '-' or '+' before the end mark, else 0.
    [[nodiscard]] char sign() const { return sign_; }

private:
    bool ends_here(std::string_view end) {
        const std::string_view rest = source_.substr(at_);
        const bool has_sign = rest.starts_with('-') || rest.starts_with('+');
        if (rest.starts_with(end)) {
            at_ += end.size();
            return true;
        }
        if (has_sign && rest.substr(1).starts_with(end)) {
            sign_ = rest.front();
            at_ += end.size() + 1;
            return true;
        }
        return false;
    }

    void skip_space() {
        while (at_ < source_.size() &&
               std::isspace(static_cast<unsigned char>(source_[at_])) != 0) {
            line_ += source_[at_] == '\n' ? 1 : 0;
            ++at_;
        }
    }

    Token next() {
        const char c = source_[at_];
        if (c == '"' || c == '\'') return string(c);
        if (is_digit(c)) return number();
        if (is_name_start(c)) {
            const std::size_t begin = at_;
            while (at_ < source_.size() &&
                   (is_name_start(source_[at_]) || is_digit(source_[at_]))) {
                ++at_;
            }
            return {Token::Kind::name, std::string(source_.substr(begin, at_ - begin)), line_};
        }
        return mark();
    }

    Token mark() {
        constexpr std::array<std::string_view, 6> pairs = {"==", "!=", "<=", ">=", "//", "**"};
        constexpr std::string_view singles = "+-*/%~<>=.,:|()[]{}";
        for (const std::string_view pair : pairs) {
            if (!source_.substr(at_).starts_with(pair)) continue;
            at_ += pair.size();
            return {Token::Kind::mark, std::string(pair), line_};
        }
        const char c = source_[at_];
        if (singles.find(c) == std::string_view::npos) {
            fail(line_, std::string("unexpected character '") + c + "'");
        }
        if (c == '(' || c == '[' || c == '{') ++depth_;
        if ((c == ')' || c == ']' || c == '}') && depth_ > 0) --depth_;
        ++at_;
        return {Token::Kind::mark, std::string(1, c), line_};
    }

    Token number() {
        const std::size_t begin = at_;
        bool is_real = false;
        while (at_ < source_.size() && (is_digit(source_[at_]) || source_[at_] == '_')) ++at_;
        if (at_ + 1 < source_.size() && source_[at_] == '.' && is_digit(source_[at_ + 1])) {
            is_real = true;
            ++at_;
            while (at_ < source_.size() && is_digit(source_[at_])) ++at_;
        }
        const std::size_t exponent = exponent_length();
        is_real = is_real || exponent > 0;
        at_ += exponent;
        std::string text(source_.substr(begin, at_ - begin));
        std::erase(text, '_');
        return {is_real ? Token::Kind::real : Token::Kind::integer, text, line_};
    }

    /// Of "e10" or "E-3" here; 0 if there is none.
    [[nodiscard]] std::size_t exponent_length() const {
        std::size_t at = at_;
        const auto is = [&](std::string_view characters) {
            return at < source_.size() && characters.find(source_[at]) != std::string_view::npos;
        };
        if (!is("eE")) return 0;
        ++at;
        if (is("+-")) ++at;
        const std::size_t digits = at;
        while (at < source_.size() && is_digit(source_[at])) ++at;
        return at == digits ? 0 : at - at_;
    }

    Token string(char quote) {
        const std::size_t line = line_;
        std::string text;
        for (++at_; at_ < source_.size() && source_[at_] != quote; ++at_) {
            line_ += source_[at_] == '\n' ? 1 : 0;
            if (source_[at_] == '\\' && at_ + 1 < source_.size()) {
                escape(text);
            } else {
                text += source_[at_];
            }
        }
        if (at_ >= source_.size()) fail(line, "a string that does not end");
        ++at_;
        return {Token::Kind::string, text, line};
    }

    void escape(std::string& text) {
        constexpr std::string_view letters = "ntrabfv0\\'\"";
        constexpr std::string_view meanings("\n\t\r\a\b\f\v\0\\'\"", 11);
        const char c = source_[++at_];
        if (const std::size_t place = letters.find(c); place != std::string_view::npos) {
            text += meanings[place];
        } else if (c == 'x' || c == 'u' || c == 'U') {
            const std::size_t n_digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
            const std::string digits(source_.substr(at_ + 1, n_digits));
            const bool is_hex = std::ranges::all_of(
                digits, [](char d) { return std::isxdigit(static_cast<unsigned char>(d)) != 0; });
            if (digits.size() != n_digits || !is_hex) fail(line_, "a broken escape in a string");
            const auto code_point = static_cast<char32_t>(std::stoul(digits, nullptr, 16));
            if (code_point > 0x10FFFF || (code_point >= 0xD800 && code_point <= 0xDFFF)) {
                fail(line_, "an escape in a string that is no character");
            }
            append_utf8(text, code_point);
            at_ += n_digits;
        } else if (c == '\n') {
            ++line_;
        } else {
            text += '\\';
            text += c;
        }
    }

    std::string_view source_;
    std::size_t at_;
    std::size_t line_;
    std::size_t depth_ = 0;
    char sign_ = '\0';
};

class Cutter {
public:
    explicit Cutter(std::string_view source) : source_(source) {
        if (source_.ends_with('\n')) source_.remove_suffix(1);
        if (source_.ends_with('\r')) source_.remove_suffix(1);
    }

    std::vector<Piece> cut() {
        while (at_ < source_.size()) {
            const std::size_t begin = next_mark();
            add_text(begin);
            if (begin == source_.size()) break;
            const char kind = source_[begin + 1];
            if (kind == '#') {
                comment();
            } else {
                words(kind == '{' ? Piece::Kind::output : Piece::Kind::statement);
            }
        }
        return std::move(pieces_);
    }

private:
    [[nodiscard]] std::size_t next_mark() const {
        std::size_t at = source_.find('{', at_);
        while (at != std::string_view::npos) {
            const char next = at + 1 < source_.size() ? source_[at + 1] : '\0';
            if (next == '{' || next == '%' || next == '#') return at;
            at = source_.find('{', at + 1);
        }
        return source_.size();
    }

    /// The text up to the mark at `end`, stripped as the signs at both ends say.
    void add_text(std::size_t end) {
        std::string_view text = source_.substr(at_, end - at_);
        const std::size_t n_lines = static_cast<std::size_t>(std::ranges::count(text, '\n'));
        if (after_ == '-') {
            text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n\f\v"), text.size()));
        } else if (after_ == 'n') {
            if (text.starts_with("\r\n")) {
                text.remove_prefix(2);
            } else if (text.starts_with('\n')) {
                text.remove_prefix(1);
            }
        }
        if (end < source_.size()) strip_before(end, text);
        if (!text.empty()) pieces_.push_back({Piece::Kind::text, std::string(text), {}, line_});
        line_ += n_lines;
        at_ = end;
    }

    void strip_before(std::size_t mark, std::string_view& text) const {
        const char sign = mark + 2 < source_.size() ? source_[mark + 2] : '\0';
        if (sign == '-') {
            const std::size_t last = text.find_last_not_of(" \t\r\n\f\v");
            text = text.substr(0, last == std::string_view::npos ? 0 : last + 1);
        } else if (sign != '+' && source_[mark + 1] != '{') {
            // Blanks between the beginning of the line and a statement.
            const std::size_t last = text.find_last_not_of(" \t\f\v");
            const std::size_t kept = last == std::string_view::npos ? 0 : last + 1;
            const bool begins_line =
                kept > 0 ? text[kept - 1] == '\n'
                         : mark == text.size() || source_[mark - text.size() - 1] == '\n';
            if (begins_line) text = text.substr(0, kept);
        }
    }

    void comment() {
        const std::size_t end = source_.find("#}", at_ + 2);
        if (end == std::string_view::npos) fail(line_, "a comment that does not end");
        const std::string_view body = source_.substr(at_, end - at_);
        line_ += static_cast<std::size_t>(std::ranges::count(body, '\n'));
        const char last = end > at_ + 2 ? source_[end - 1] : '\0';
        after_ = last == '-' ? '-' : last == '+' ? '+' : 'n';
        at_ = end + 2;
    }

    void words(Piece::Kind kind) {
        const std::size_t line = line_;
        const char sign = at_ + 2 < source_.size() ? source_[at_ + 2] : '\0';
        Words words(source_, at_ + (sign == '-' || sign == '+' ? 3 : 2), line_);
        Piece piece{kind, "", words.read_until(kind == Piece::Kind::output ? "}}" : "%}"), line};
        at_ = words.position();
        line_ = words.line();
        after_ = words.sign() != '\0' ? words.sign() : kind == Piece::Kind::statement ? 'n' : '\0';
        if (kind == Piece::Kind::statement && piece.tokens.front().text == "raw") return raw();
        pieces_.push_back(std::move(piece));
    }

    void raw() {
        const std::size_t begin = at_;
        for (std::size_t end = source_.find("{%", begin); end != std::string_view::npos;
             end = source_.find("{%", end + 2)) {
            std::size_t word = end + 2;
            while (word < source_.size() &&
                   (source_[word] == '-' || source_[word] == '+' || source_[word] == ' '))
                ++word;
            if (!source_.substr(word).starts_with("endraw")) continue;
            add_text(end);
            at_ = source_.find("%}", word);
            if (at_ == std::string_view::npos) break;
            after_ = source_[at_ - 1] == '-' ? '-' : 'n';
            at_ += 2;
            return;
        }
        fail(line_, "a raw block that does not end");
    }

    std::string_view source_;
    std::size_t at_ = 0;
    std::size_t line_ = 1;
    char after_ = '\0';  // what follows: '-' all white space goes, 'n' one line break does
    std::vector<Piece> pieces_;
};

}  // namespace

std::vector<Piece> cut_template(std::string_view source) {
    return Cutter(source).cut();
}

}  // namespace lathe::jinja
