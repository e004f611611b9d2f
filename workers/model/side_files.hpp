#pragma once

#include <cstdint>
#include <filesystem>

namespace lathe {

/// Copies config.json, generation_config.json and the tokenizer's files, those that are there.
/// @returns  bytes copied. @throws IoError
std::uint64_t copy_side_files(const std::filesystem::path& from, const std::filesystem::path& to);
/// Bytes that copy_side_files() would copy.
[[nodiscard]] std::uint64_t side_file_bytes(const std::filesystem::path& from);

}  // namespace lathe
