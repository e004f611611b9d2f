#pragma once

#include <concepts>
#include <utility>

#include "lib/core/json.hpp"

namespace lathe {

/// @throws DataError  saying what was found in place of a whole number of the wanted size
[[noreturn]] void refuse_whole_number(const nlohmann::json& value);

/// A whole number that T can hold. get<T>() would turn 1.5 and true into 1, and a number that is
/// too large into any other.
/// @throws DataError  if it is none
template <std::integral T>
[[nodiscard]] T whole_number(const nlohmann::json& value) {
    if (value.is_number_unsigned()) {
        const auto number = value.get<nlohmann::json::number_unsigned_t>();
        if (std::in_range<T>(number)) {
            return static_cast<T>(number);
        }
    } else if (value.is_number_integer()) {
        const auto number = value.get<nlohmann::json::number_integer_t>();
        if (std::in_range<T>(number)) {
            return static_cast<T>(number);
        }
    }
    refuse_whole_number(value);
}

}  // namespace lathe
