#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace lathe {

/// `text` in quotes for a message: cut after `longest` bytes, and plain ASCII whatever it holds.
[[nodiscard]] std::string in_quotes(std::string_view text, std::size_t longest = 60);

/// "a, b, c"
[[nodiscard]] std::string listed(const std::vector<std::string_view>& words);

}  // namespace lathe
