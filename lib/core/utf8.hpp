#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace lathe {

/// A UTF-8 sequence, or the longest beginning of one if it is broken (Unicode 3.9, "maximal
/// subpart").
struct Utf8Sequence {
    std::size_t length;  ///< bytes, at least 1
    bool is_valid;
};

/// The sequence at the start of `bytes`, which is not empty.
[[nodiscard]] Utf8Sequence read_utf8_sequence(std::string_view bytes);

/// The offset of the first byte from `position` on that begins no valid sequence; bytes.size() if
/// there is none.
[[nodiscard]] std::size_t find_invalid_utf8(std::string_view bytes, std::size_t position = 0);

/// Appends `code_point`, which is at most U+10FFFF and no surrogate.
void append_utf8(std::string& out, char32_t code_point);

/// Each maximal invalid sequence (Unicode 3.9, "substitution of maximal subparts") becomes one
/// U+FFFD; valid text is returned unchanged.
[[nodiscard]] std::string repair_utf8(std::string_view bytes);
[[nodiscard]] bool is_valid_utf8(std::string_view bytes);

}  // namespace lathe
