#pragma once

#include <array>
#include <string>
#include <string_view>

namespace lathe {

/// The formats that a checkpoint can be exported to; workers/exports has a row for each, in this
/// order.
inline constexpr std::array<std::string_view, 4> export_format_names{"hf", "compressed-tensors",
                                                                     "gguf", "mlx"};

/// "hf, compressed-tensors, gguf, mlx", for messages.
[[nodiscard]] std::string list_export_formats();

}  // namespace lathe
