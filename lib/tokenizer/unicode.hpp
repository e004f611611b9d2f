#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace lathe::tokenizer {

/// Decodes the code point that starts at `position` and moves `position` behind it.
/// `text` is valid UTF-8; position < text.size().
[[nodiscard]] inline char32_t next_code_point(std::string_view text, std::size_t& position) {
    const auto byte = [&](std::size_t offset) {
        return static_cast<char32_t>(static_cast<unsigned char>(text[position + offset]));
    };
    const char32_t lead = byte(0);
    if (lead < 0x80) {
        ++position;
        return lead;
    }
    char32_t code_point = 0;
    if (lead < 0xE0) {
        code_point = (lead & 0x1F) << 6 | (byte(1) & 0x3F);
        position += 2;
    } else if (lead < 0xF0) {
        code_point = (lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
        position += 3;
    } else {
        code_point =
            (lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
        position += 4;
    }
    return code_point;
}

/// The same backwards: the code point that ends at `position`, which moves to its first byte.
/// `text` is valid UTF-8; position > 0.
[[nodiscard]] char32_t previous_code_point(std::string_view text, std::size_t& position);

[[nodiscard]] std::size_t count_code_points(std::string_view text);

/// The Unicode property White_Space.
[[nodiscard]] bool is_white_space(char32_t code_point);
/// General categories Nd, Nl, No.
[[nodiscard]] bool is_numeric(char32_t code_point);
/// General category P*, or one of the ASCII symbols $ + < = > ^ ` | ~.
[[nodiscard]] bool is_punctuation(char32_t code_point);
/// General categories Mn, Mc, Me.
[[nodiscard]] bool is_mark(char32_t code_point);
/// General category Mn.
[[nodiscard]] bool is_nonspacing_mark(char32_t code_point);
/// General categories Cc, Cf, Co. Unassigned code points are not meant.
[[nodiscard]] bool is_control(char32_t code_point);

/// Where graphemes ("characters as people see them", Unicode annex 29) begin, told code point by
/// code point.
class GraphemeBreaks {
public:
    /// Whether a grapheme ends before this code point; false before the first.
    [[nodiscard]] bool before(char32_t code_point);

private:
    char32_t previous_ = 0;
    int state_ = 0;
    bool is_first_ = true;
};

/// Lower case of one code point without regard to its neighbours: no final sigma.
void append_lowercase(std::string& out, char32_t code_point);

enum class NormalForm { nfc, nfd, nfkc, nfkd };

/// `text` is valid UTF-8.
[[nodiscard]] std::string to_normal_form(std::string_view text, NormalForm form);

}  // namespace lathe::tokenizer
