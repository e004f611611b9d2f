#include "lib/tokenizer/base64.hpp"

#include <cstdint>

namespace lathe::tokenizer {
namespace {

constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

}  // namespace

std::optional<std::string> from_base64(std::string_view text) {
    while (text.ends_with('=')) text.remove_suffix(1);
    if (text.size() % 4 == 1) return std::nullopt;
    std::string bytes;
    std::uint32_t buffer = 0;
    unsigned n_bits = 0;
    for (const char c : text) {
        const std::size_t digit = alphabet.find(c);
        if (digit == std::string_view::npos) return std::nullopt;
        buffer = buffer << 6U | static_cast<std::uint32_t>(digit);
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            bytes.push_back(static_cast<char>(buffer >> n_bits & 0xFFU));
        }
    }
    return bytes;
}

std::string to_base64(std::string_view bytes) {
    std::string text;
    std::uint32_t buffer = 0;
    unsigned n_bits = 0;
    for (const char c : bytes) {
        buffer = buffer << 8U | static_cast<unsigned char>(c);
        n_bits += 8;
        while (n_bits >= 6) {
            n_bits -= 6;
            text.push_back(alphabet[buffer >> n_bits & 0x3FU]);
        }
    }
    if (n_bits > 0) text.push_back(alphabet[buffer << (6 - n_bits) & 0x3FU]);
    while (text.size() % 4 != 0) text.push_back('=');
    return text;
}

}  // namespace lathe::tokenizer
