#include "lib/tokenizer/byte_tokens.hpp"

#include <cstdio>

namespace lathe::tokenizer {

std::string byte_token(unsigned byte) {
    char text[8];
    std::snprintf(text, sizeof text, "<0x%02X>", byte);
    return text;
}

bool append_byte_tokens(const Vocabulary& vocabulary, std::string_view text,
                        std::vector<std::uint32_t>& ids) {
    const std::size_t size_before = ids.size();
    for (const char byte : text) {
        const auto id = vocabulary.id_of(byte_token(static_cast<unsigned char>(byte)));
        if (!id) {
            ids.resize(size_before);
            return false;
        }
        ids.push_back(*id);
    }
    return true;
}

}  // namespace lathe::tokenizer
