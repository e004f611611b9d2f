#include "lib/tokenizer/text_stream.hpp"

#include <algorithm>

namespace lathe {
namespace {

/// U+FFFD: what decoding makes of the bytes of an incomplete character.
constexpr std::string_view replacement = "\xEF\xBF\xBD";

bool continues_a_character(char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U;
}

}  // namespace

TextStream::TextStream(const Tokenizer& tokenizer, std::span<const std::uint32_t> context)
    : tokenizer_(tokenizer), ids_(context.begin(), context.end()), told_end_(ids_.size()) {}

std::string TextStream::add(std::uint32_t id) {
    ids_.push_back(id);
    const std::string text = decode(ids_.size());
    return text.ends_with(replacement) ? std::string() : take(text);
}

std::string TextStream::finish() {
    return take(decode(ids_.size()));
}

std::string TextStream::decode(std::size_t end) const {
    return tokenizer_.decode(std::span(ids_).subspan(window_begin_, end - window_begin_));
}

std::string TextStream::take(const std::string& text) {
    const std::string told = decode(told_end_);
    const auto [differs, unused] = std::ranges::mismatch(text, told);
    auto begin = static_cast<std::size_t>(differs - text.begin());
    // Bytes that turn out to be no character also change those told before them. Those stay, and
    // what follows begins with a whole character.
    while (begin > 0 && begin < text.size() && continues_a_character(text[begin])) --begin;
    if (text.size() > begin) {
        window_begin_ = told_end_;
        told_end_ = ids_.size();
    }
    return text.substr(begin);
}

}  // namespace lathe
