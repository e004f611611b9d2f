#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "lib/core/file.hpp"

namespace lathe::gguf {

struct FoundTensor {
    std::vector<std::uint64_t> extents;  ///< fastest first
    std::uint32_t type = 0;
    std::span<const std::byte> bytes;
};

/// A GGUF file, mapped: its keys as JSON values, and its tensors.
struct FoundFile {
    MappedFile file;
    std::map<std::string, nlohmann::json> keys;
    std::map<std::string, FoundTensor> tensors;

    /// Checks that everything lies inside the file, that offsets are aligned, and that tensors do
    /// not overlap. @throws MissingInputError, DataError
    static FoundFile read(const std::filesystem::path& path);
};

}  // namespace lathe::gguf
