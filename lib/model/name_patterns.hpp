#pragma once

#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "lib/model/model_spec.hpp"

namespace lathe {

/// Names of parts of a model as a user lists them. An entry names
///   - a tensor or unit by its whole name ("model.norm.weight", "block_0003.qkv");
///   - every module that it is a part of, whole words between dots ("q_proj", "mlp.down_proj",
///     "layers.3", "lm_head"), as tools do that work on modules;
///   - "re:" and a regular expression without back references: what it matches from the start of
///   the name of a tensor, its
///     module or a unit, like Python's re.match;
///   - with "*", any characters, all of such a name ("*.mlp.*", "*lm_head*").
/// "lm_head" and "embed_tokens" are head and token embedding whatever a family calls them; of a
/// tied model both are its embedding. "Linear" is all units but the embedding, "Embedding" that.
class NamePatterns {
public:
    /// @throws UsageError  for what is no regular expression; `key` begins the message
    NamePatterns(const std::vector<std::string>& entries, const std::string& key);

    /// Whether a tensor or unit of this name is named.
    [[nodiscard]] bool has(const std::string& name) const;
    /// Whether the unit or one of its tensors is named.
    [[nodiscard]] bool has(const ModelSpec& spec, const UnitSpec& unit) const;
    /// Whether an entry says that this tensor, which the model does not need, may be passed over.
    /// A short name that names parts of the model itself does not: it is about those.
    [[nodiscard]] bool passes_over(const std::string& tensor, const ModelSpec& spec) const;

private:
    struct Entry {
        std::string text;
        bool has_star = false;
        std::optional<std::regex> pattern;  ///< of "re:..."
        [[nodiscard]] bool has(const std::string& name) const;
        /// Whether it is more than a name.
        [[nodiscard]] bool is_pattern() const { return has_star || pattern; }
    };
    std::vector<Entry> entries_;
};

/// What a unit may be called: its own name, its tensors' and those that hold for any family.
[[nodiscard]] std::vector<std::string> names_of(const ModelSpec& spec, const UnitSpec& unit);

/// Names that a user's list may hold, collected from models.
class KnownNames {
public:
    void add(const ModelSpec& spec);  ///< units and tensors
    void add(const std::vector<PassedOver>& tensors);
    /// @throws UsageError  for the first entry that names nothing, with the nearest names; `key`
    ///   begins the message
    void require(const std::vector<std::string>& entries, const std::string& key) const;

private:
    std::vector<std::string> names_;
};

/// "names "x", which is nothing in the model; nearest: q_proj, k_proj", or with some names if none
/// is near.
[[nodiscard]] std::string describe_unknown_name(const std::string& entry,
                                                const std::vector<std::string>& names);

}  // namespace lathe
