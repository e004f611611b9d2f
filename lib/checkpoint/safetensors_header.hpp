#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "lib/core/dtype.hpp"

namespace lathe {

/// One tensor of a header. `begin` and `end` count from the first byte behind the header.
struct HeaderEntry {
    std::string name;
    DType dtype = DType::f32;
    Shape shape;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
};

/// The header of one file, checked: its entries fill the data of the file without overlap or gap.
struct SafetensorsHeader {
    std::uint64_t data_begin = 0;  ///< where the data begin in the file
    std::vector<HeaderEntry> entries;
};

/// @throws DataError  naming `path`, the tensor, the value found and what was expected
[[nodiscard]] SafetensorsHeader read_safetensors_header(std::span<const std::byte> file,
                                                        const std::filesystem::path& path);

/// Parses JSON, refusing what nlohmann::json would take: a key twice in one object, or more than
/// `max_depth` levels. @throws DataError  beginning with `where`
[[nodiscard]] nlohmann::json parse_strict_json(std::string_view text, int max_depth,
                                               const std::string& where);

/// "F32", "BF16", ...: the spelling of safetensors headers.
[[nodiscard]] std::string_view safetensors_name(DType dtype) noexcept;

}  // namespace lathe
