#include "lib/template/text_functions.hpp"

#include <cctype>

#include "lib/core/errors.hpp"
#include "lib/template/work.hpp"
#include "lib/tokenizer/unicode.hpp"

namespace lathe::jinja {
namespace {

using tokenizer::next_code_point;
using tokenizer::previous_code_point;

/// str.isspace(): White_Space and four separators that Python counts too.
bool is_space(char32_t c) {
    return tokenizer::is_white_space(c) || (c >= 0x1C && c <= 0x1F);
}

bool is_one_of(char32_t c, std::string_view marks) {
    if (marks.empty()) return is_space(c);
    for (std::size_t i = 0; i < marks.size();) {
        if (next_code_point(marks, i) == c) return true;
    }
    return false;
}

bool is_ascii_letter(char c) {
    return std::isalpha(static_cast<unsigned char>(c)) != 0 && static_cast<unsigned char>(c) < 0x80;
}

}  // namespace

std::string stripped(std::string_view text, std::string_view marks, bool left, bool right) {
    while (left && !text.empty()) {
        std::size_t next = 0;
        if (!is_one_of(next_code_point(text, next), marks)) break;
        text.remove_prefix(next);
    }
    while (right && !text.empty()) {
        std::size_t last = text.size();
        if (!is_one_of(previous_code_point(text, last), marks)) break;
        text = text.substr(0, last);
    }
    return std::string(text);
}

std::string replaced(std::string_view text, std::string_view from, std::string_view to, long most) {
    if (from.empty()) throw DataError("replace: the text to replace is empty");
    std::string out;
    std::size_t done = 0;
    for (std::size_t at = text.find(from); at != std::string_view::npos && most != 0;
         at = text.find(from, done), --most) {
        out += text.substr(done, at - done);
        Work::spend_on_text(to.size());
        out += to;
        done = at + from.size();
    }
    return out + std::string(text.substr(done));
}

std::string lowered(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size();) {
        tokenizer::append_lowercase(out, next_code_point(text, i));
    }
    return out;
}

std::string raised(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (static_cast<unsigned char>(c) >= 0x80) {
            throw DataError("upper case of other letters than A to Z is not supported");
        }
        out += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    }
    return out;
}

std::string capitalised(std::string_view text) {
    if (text.empty()) return "";
    std::size_t first = 0;
    (void)next_code_point(text, first);
    return raised(text.substr(0, first)) + lowered(text.substr(first));
}

std::string titled(std::string_view text) {
    std::string out;
    bool in_word = false;
    for (const char c : text) {
        if (static_cast<unsigned char>(c) >= 0x80) {
            throw DataError("title case of other letters than A to Z is not supported");
        }
        const auto byte = static_cast<unsigned char>(c);
        out += static_cast<char>(in_word ? std::tolower(byte) : std::toupper(byte));
        in_word = is_ascii_letter(c);
    }
    return out;
}

}  // namespace lathe::jinja
