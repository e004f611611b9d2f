#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

namespace lathe {

/// The tokens that end a text by the generation_config.json of a model directory; none if there is
/// no such file. Where there is one, the "eos_token_id" of config.json does not count, not even if
/// the file names no token: so it is in transformers.
/// @throws DataError  the file is not JSON, or "eos_token_id" neither an id nor a list of ids
[[nodiscard]] std::optional<std::vector<std::uint32_t>> read_end_tokens(
    const std::filesystem::path& directory);

}  // namespace lathe
