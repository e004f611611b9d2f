#pragma once

#include <span>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "lib/model/model_spec.hpp"

namespace lathe {

/// A family of models. Adding one: a file with such a row, one line in family.cpp, one test.
struct FamilyRow {
    std::string_view model_type;  ///< of config.json
    /// What the names of the base model's tensors begin with; weights saved from the base model
    /// alone lack it.
    std::string_view prefix;
    std::string_view head;  ///< name of the head's weight; passed over when the head is tied
    /// Ends of the names of stored buffers that are no weights; of static storage.
    std::span<const std::string_view> buffers;
    /// Fills a ModelSpec, but for `family`, from the parsed config.json.
    ModelSpec (*read)(const nlohmann::json& config, const std::string& where);
};

[[nodiscard]] std::span<const FamilyRow> family_table();

/// The row of this model_type; none if there is no such family.
[[nodiscard]] const FamilyRow* find_family(std::string_view model_type);

}  // namespace lathe
