#pragma once

#include <string_view>

namespace lathe::report {

// Files that CMake puts into the program: page.css, the charts' own code (charts/*.js), and D3, the
// library that they draw with.
[[nodiscard]] std::string_view style_text();
[[nodiscard]] std::string_view charts_text();
[[nodiscard]] std::string_view library_text();

}  // namespace lathe::report
