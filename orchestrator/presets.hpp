#pragma once

#include <span>
#include <string_view>

namespace lathe {

/// A job file that comes with the program: it is part of it, so that it is there wherever the
/// program is started.
struct Preset {
    std::string_view name;
    std::string_view yaml;
};

[[nodiscard]] std::span<const Preset> presets();

}  // namespace lathe
