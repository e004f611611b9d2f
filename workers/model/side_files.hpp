#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace lathe {

/// What goes along with the weights, relative to the directory and in order: configurations, the
/// tokenizer's files, templates, processors, licences, and programs of models with code of their
/// own, these and templates also in folders below.
[[nodiscard]] std::vector<std::filesystem::path> side_files(const std::filesystem::path& directory);
/// Copies the side files. @returns  bytes copied. @throws IoError
std::uint64_t copy_side_files(const std::filesystem::path& from, const std::filesystem::path& to);
/// Bytes that copy_side_files() would copy.
[[nodiscard]] std::uint64_t side_file_bytes(const std::filesystem::path& from);

}  // namespace lathe
