#include "lib/core/utf8.hpp"

namespace lathe {
namespace {

bool is_between(unsigned char byte, unsigned low, unsigned high) {
    return byte >= low && byte <= high;
}

}  // namespace

Utf8Sequence read_utf8_sequence(std::string_view bytes) {
    const auto lead = static_cast<unsigned char>(bytes[0]);
    if (lead < 0x80) return {1, true};
    if (!is_between(lead, 0xC2, 0xF4)) return {1, false};

    const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    // The second byte has a narrower range after four leads: no overlong forms, no surrogates,
    // nothing above U+10FFFF.
    const unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    for (std::size_t i = 1; i < length; ++i) {
        if (i == bytes.size()) return {i, false};
        const auto byte = static_cast<unsigned char>(bytes[i]);
        if (i == 1 ? !is_between(byte, low, high) : !is_between(byte, 0x80, 0xBF)) {
            return {i, false};
        }
    }
    return {length, true};
}

std::size_t find_invalid_utf8(std::string_view bytes, std::size_t position) {
    while (position < bytes.size()) {
        if (static_cast<unsigned char>(bytes[position]) < 0x80) {
            ++position;
            continue;
        }
        const Utf8Sequence sequence = read_utf8_sequence(bytes.substr(position));
        if (!sequence.is_valid) break;
        position += sequence.length;
    }
    return position;
}

void append_utf8(std::string& out, char32_t code_point) {
    const auto tail = [&](unsigned shift) {
        out.push_back(static_cast<char>(0x80U | ((code_point >> shift) & 0x3FU)));
    };
    if (code_point < 0x80) {
        out.push_back(static_cast<char>(code_point));
    } else if (code_point < 0x800) {
        out.push_back(static_cast<char>(0xC0U | code_point >> 6U));
        tail(0);
    } else if (code_point < 0x10000) {
        out.push_back(static_cast<char>(0xE0U | code_point >> 12U));
        tail(6);
        tail(0);
    } else {
        out.push_back(static_cast<char>(0xF0U | code_point >> 18U));
        tail(12);
        tail(6);
        tail(0);
    }
}

bool is_valid_utf8(std::string_view bytes) {
    return find_invalid_utf8(bytes, 0) == bytes.size();
}

std::string repair_utf8(std::string_view bytes) {
    std::string out;
    out.reserve(bytes.size());
    std::size_t position = 0;
    while (position < bytes.size()) {
        const std::size_t bad = find_invalid_utf8(bytes, position);
        out.append(bytes, position, bad - position);
        if (bad == bytes.size()) break;
        out += "\xEF\xBF\xBD";
        position = bad + read_utf8_sequence(bytes.substr(bad)).length;
    }
    return out;
}

}  // namespace lathe
