#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace lathe::tokenizer {

/// The bytes that `text` stands for; none if it is not base64 (with or without padding).
[[nodiscard]] std::optional<std::string> from_base64(std::string_view text);

/// With padding.
[[nodiscard]] std::string to_base64(std::string_view bytes);

}  // namespace lathe::tokenizer
