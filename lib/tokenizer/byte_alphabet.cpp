#include "lib/tokenizer/byte_alphabet.hpp"

#include <array>
#include <cstdint>

#include "lib/tokenizer/unicode.hpp"

namespace lathe::tokenizer {
namespace {

constexpr std::size_t n_bytes = 256;
constexpr std::size_t character_limit = 0x144;  // one above the largest character
constexpr std::int16_t none = -1;

struct Alphabet {
    std::array<char16_t, n_bytes> character_of{};
    std::array<std::int16_t, character_limit> byte_of{};
};

constexpr bool stands_for_itself(std::size_t byte) {
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr Alphabet make_alphabet() {
    Alphabet alphabet;
    for (std::int16_t& byte : alphabet.byte_of) byte = none;
    std::size_t next = 0x100;
    for (std::size_t byte = 0; byte < n_bytes; ++byte) {
        const std::size_t character = stands_for_itself(byte) ? byte : next++;
        alphabet.character_of[byte] = static_cast<char16_t>(character);
        alphabet.byte_of[character] = static_cast<std::int16_t>(byte);
    }
    return alphabet;
}

constexpr Alphabet alphabet = make_alphabet();
static_assert(alphabet.character_of[' '] == 0x120);

}  // namespace

void append_byte_characters(std::string& out, std::string_view bytes) {
    for (const char byte : bytes) {
        const char16_t c = alphabet.character_of[static_cast<unsigned char>(byte)];
        if (c < 0x80) {
            out.push_back(static_cast<char>(c));
        } else {
            out.push_back(static_cast<char>(0xC0 | c >> 6));
            out.push_back(static_cast<char>(0x80 | (c & 0x3F)));
        }
    }
}

void append_bytes_of_characters(std::string& out, std::string_view text) {
    const std::size_t size_before = out.size();
    for (std::size_t i = 0; i < text.size();) {
        const char32_t c = next_code_point(text, i);
        if (c >= character_limit || alphabet.byte_of[c] == none) {
            out.resize(size_before);
            out += text;
            return;
        }
        out.push_back(static_cast<char>(alphabet.byte_of[c]));
    }
}

}  // namespace lathe::tokenizer
