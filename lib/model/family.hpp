#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>

#include "lib/model/model_spec.hpp"

namespace lathe {

/// A family of models. Adding one: a file with such a row, one line in family.cpp, one test.
struct FamilyRow {
    std::string_view model_type;  ///< of config.json
    /// Fills a ModelSpec from the parsed config.json.
    ModelSpec (*read)(const nlohmann::json& config, const std::string& where);
};

[[nodiscard]] std::span<const FamilyRow> family_table();

}  // namespace lathe
