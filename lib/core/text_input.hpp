#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace lathe {

/// A text file as UTF-8 without its byte order mark. UTF-16 and UTF-32 are converted where such a
/// mark says what they are; anything else must be UTF-8 already.
/// @throws MissingInputError, IoError
/// @throws DataError  naming file, line, offset and byte: not UTF-8 (Latin-1, binary data); a byte
///   0, which no text has but UTF-16 without a mark does; a broken UTF-16 or UTF-32
[[nodiscard]] std::string read_text_file(const std::filesystem::path& file);

/// The same for `bytes` that stand in `file`.
[[nodiscard]] std::string text_of_bytes(std::string bytes, const std::filesystem::path& file);

}  // namespace lathe
