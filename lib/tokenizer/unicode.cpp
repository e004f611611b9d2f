#include "lib/tokenizer/unicode.hpp"

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>

#include <utf8proc.h>

#include "lib/core/errors.hpp"
#include "lib/core/utf8.hpp"

namespace lathe::tokenizer {
namespace {

bool is_ascii(char c) {
    return static_cast<unsigned char>(c) < 0x80;
}

utf8proc_category_t category(char32_t code_point) {
    return utf8proc_category(static_cast<utf8proc_int32_t>(code_point));
}

utf8proc_option_t options_of(NormalForm form) {
    int options = UTF8PROC_STABLE;
    const bool composes = form == NormalForm::nfc || form == NormalForm::nfkc;
    const bool compatible = form == NormalForm::nfkc || form == NormalForm::nfkd;
    options |= composes ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
    if (compatible) options |= UTF8PROC_COMPAT;
    return static_cast<utf8proc_option_t>(options);
}

void append_normal_form(std::string& out, std::string_view text, NormalForm form) {
    utf8proc_uint8_t* raw = nullptr;
    const utf8proc_ssize_t length =
        utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                     static_cast<utf8proc_ssize_t>(text.size()), &raw, options_of(form));
    const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(raw, &std::free);
    if (length < 0) {
        throw InternalError(std::string("Unicode normalisation failed: ") +
                            utf8proc_errmsg(length));
    }
    out.append(reinterpret_cast<const char*>(raw), static_cast<std::size_t>(length));
}

}  // namespace

char32_t previous_code_point(std::string_view text, std::size_t& position) {
    do {
        --position;
    } while ((static_cast<unsigned char>(text[position]) & 0xC0) == 0x80);
    std::size_t start = position;
    return next_code_point(text, start);
}

std::size_t count_code_points(std::string_view text) {
    std::size_t count = 0;
    for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
    return count;
}

bool is_white_space(char32_t code_point) {
    if (code_point < 0x80) return code_point == ' ' || (code_point >= 0x09 && code_point <= 0x0D);
    return code_point == 0x85 || code_point == 0xA0 || code_point == 0x1680 ||
           (code_point >= 0x2000 && code_point <= 0x200A) || code_point == 0x2028 ||
           code_point == 0x2029 || code_point == 0x202F || code_point == 0x205F ||
           code_point == 0x3000;
}

bool is_numeric(char32_t code_point) {
    if (code_point < 0x80) return code_point >= '0' && code_point <= '9';
    const utf8proc_category_t kind = category(code_point);
    return kind >= UTF8PROC_CATEGORY_ND && kind <= UTF8PROC_CATEGORY_NO;
}

bool is_punctuation(char32_t code_point) {
    if (code_point < 0x80) {
        return (code_point >= 0x21 && code_point <= 0x2F) ||
               (code_point >= 0x3A && code_point <= 0x40) ||
               (code_point >= 0x5B && code_point <= 0x60) ||
               (code_point >= 0x7B && code_point <= 0x7E);
    }
    const utf8proc_category_t kind = category(code_point);
    return kind >= UTF8PROC_CATEGORY_PC && kind <= UTF8PROC_CATEGORY_PO;
}

bool is_mark(char32_t code_point) {
    const utf8proc_category_t kind = category(code_point);
    return kind >= UTF8PROC_CATEGORY_MN && kind <= UTF8PROC_CATEGORY_ME;
}

bool is_nonspacing_mark(char32_t code_point) {
    return category(code_point) == UTF8PROC_CATEGORY_MN;
}

bool is_control(char32_t code_point) {
    if (code_point < 0x80) return code_point < 0x20 || code_point == 0x7F;
    const utf8proc_category_t kind = category(code_point);
    return kind == UTF8PROC_CATEGORY_CC || kind == UTF8PROC_CATEGORY_CF ||
           kind == UTF8PROC_CATEGORY_CO;
}

bool GraphemeBreaks::before(char32_t code_point) {
    const bool is_first = std::exchange(is_first_, false);
    const char32_t previous = std::exchange(previous_, code_point);
    if (is_first) return false;
    utf8proc_int32_t state = state_;
    const bool breaks = utf8proc_grapheme_break_stateful(
        static_cast<utf8proc_int32_t>(previous), static_cast<utf8proc_int32_t>(code_point), &state);
    state_ = state;
    return breaks;
}

void append_lowercase(std::string& out, char32_t code_point) {
    if (code_point < 0x80) {
        const bool is_upper = code_point >= 'A' && code_point <= 'Z';
        out.push_back(static_cast<char>(is_upper ? code_point + 0x20 : code_point));
    } else if (code_point == 0x130) {
        out += "i\xCC\x87";  // the only code point whose full lower case is two
    } else {
        append_utf8(out, static_cast<char32_t>(
                             utf8proc_tolower(static_cast<utf8proc_int32_t>(code_point))));
    }
}

std::string to_normal_form(std::string_view text, NormalForm form) {
    std::string out;
    out.reserve(text.size());
    // ASCII is left as it is by every form. Only the last ASCII character before other ones may
    // change, by composing with a mark, so it belongs to their stretch.
    std::size_t copied = 0;
    for (std::size_t i = 0; i < text.size();) {
        if (is_ascii(text[i])) {
            ++i;
            continue;
        }
        const std::size_t begin = i > copied ? i - 1 : i;
        while (i < text.size() && !is_ascii(text[i])) ++i;
        out.append(text, copied, begin - copied);
        append_normal_form(out, text.substr(begin, i - begin), form);
        copied = i;
    }
    out.append(text, copied);
    return out;
}

}  // namespace lathe::tokenizer
