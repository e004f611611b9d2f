#pragma once

#include <string>
#include <string_view>

namespace lathe::tokenizer {

/// The alphabet of byte-level vocabularies: one printable character for each byte. Printable
/// Latin-1 bytes stand for themselves, the others, in order, for U+0100, U+0101 and so on ("Ġ" is
/// space).

/// Appends the characters of all bytes of `bytes`.
void append_byte_characters(std::string& out, std::string_view bytes);

/// Appends the bytes that the characters of `text` (valid UTF-8) stand for; `text` itself if one of
/// them is not in the alphabet.
void append_bytes_of_characters(std::string& out, std::string_view text);

}  // namespace lathe::tokenizer
