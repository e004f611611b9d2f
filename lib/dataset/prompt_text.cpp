#include "lib/dataset/prompt_text.hpp"

#include <algorithm>
#include <array>

namespace lathe {
namespace {

constexpr std::array<std::string_view, 29> white_space = {
    "\t",           "\n",           "\v",           "\f",           "\r",
    "\x1C",         "\x1D",         "\x1E",         "\x1F",         " ",
    "\xC2\x85",      // U+0085 next line
    "\xC2\xA0",      // U+00A0 no-break space
    "\xE1\x9A\x80",  // U+1680
    "\xE2\x80\x80", "\xE2\x80\x81", "\xE2\x80\x82", "\xE2\x80\x83", "\xE2\x80\x84",
    "\xE2\x80\x85", "\xE2\x80\x86", "\xE2\x80\x87", "\xE2\x80\x88", "\xE2\x80\x89",
    "\xE2\x80\x8A",                  // U+2000 to U+200A
    "\xE2\x80\xA8", "\xE2\x80\xA9",  // U+2028, U+2029 line, paragraph separator
    "\xE2\x80\xAF",                  // U+202F
    "\xE2\x81\x9F",                  // U+205F
    "\xE3\x80\x80",                  // U+3000 ideographic space
};

std::size_t leading_space(std::string_view text) {
    const std::string_view whole = text;
    while (true) {
        const auto* const space = std::ranges::find_if(
            white_space, [&](std::string_view mark) { return text.starts_with(mark); });
        if (space == white_space.end()) return whole.size() - text.size();
        text.remove_prefix(space->size());
    }
}

/// str.replace(): from the left, what is put in is not looked at again.
std::string replaced(std::string_view text, std::string_view what, std::string_view with) {
    std::string result;
    while (true) {
        const std::size_t place = text.find(what);
        result += text.substr(0, place);
        if (place == std::string_view::npos) return result;
        result += with;
        text.remove_prefix(place + what.size());
    }
}

/// re.sub(r"\[.*?\]", ""): up to the nearest bracket that closes, unless a line ends before it.
std::string without_brackets(std::string_view text) {
    std::string result;
    while (!text.empty()) {
        const std::size_t end = text.front() == '[' ? text.find_first_of("]\n") : 0;
        if (end != 0 && end != std::string_view::npos && text[end] == ']') {
            text.remove_prefix(end + 1);
        } else {
            result += text.front();
            text.remove_prefix(1);
        }
    }
    return result;
}

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

char upper(char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

}  // namespace

std::size_t trailing_space(std::string_view text) {
    const std::string_view whole = text;
    while (true) {
        const auto* const space = std::ranges::find_if(
            white_space, [&](std::string_view mark) { return text.ends_with(mark); });
        if (space == white_space.end()) return whole.size() - text.size();
        text.remove_suffix(space->size());
    }
}

std::string_view stripped(std::string_view text) {
    text.remove_suffix(trailing_space(text));
    text.remove_prefix(leading_space(text));
    return text;
}

std::string capitalised(std::string_view text) {
    std::string result(text);
    std::ranges::transform(result, result.begin(), lower);
    if (!result.empty()) result.front() = upper(result.front());
    return result;
}

std::string without_marks(std::string_view text) {
    return replaced(without_brackets(replaced(stripped(text), " [title]", ". ")), "  ", " ");
}

std::size_t n_characters(std::string_view text) {
    return static_cast<std::size_t>(std::ranges::count_if(
        text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

}  // namespace lathe
