#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/config/job_config.hpp"
#include "lib/job/candidate.hpp"

namespace lathe {

/// A key that a method has. Settings hold every key, with values in one canonical spelling, so that
/// equal settings are equal texts.
struct SettingKey {
    std::string_view name;
    std::string_view default_value;  ///< canonical
    /// The canonical spelling of a value as written, or nothing if it may not stand here.
    std::optional<std::string> (*read)(const std::string& text);
    std::string_view expected;  ///< "a whole number from 2 to 8", for messages
};

/// The key that an entry of any method may have: names of units or tensors that it is for.
inline constexpr std::string_view targets_key = "targets";

/// All combinations of an entry's values, the last key of the table changing fastest, with defaults
/// for the keys it does not name.
/// @throws UsageError  with the key's place: unknown key (lists the valid ones), key given twice,
///   no value, value that may not stand there
[[nodiscard]] std::vector<Setting> expand_keys(const CandidateEntry& entry,
                                               std::span<const SettingKey> keys);

/// The settings of expand_keys() after settle(setting), without repetition: it gives keys that a
/// setting does not look at their defaults, so that one result has one setting.
template <class Settle>
[[nodiscard]] std::vector<Setting> expand_settled(const CandidateEntry& entry,
                                                  std::span<const SettingKey> keys,
                                                  const Settle& settle) {
    std::vector<Setting> settings;
    for (Setting& setting : expand_keys(entry, keys)) {
        settle(setting);
        if (std::ranges::find(settings, setting) == settings.end()) {
            settings.push_back(std::move(setting));
        }
    }
    return settings;
}

// Readers for SettingKey::read.

/// A whole number in [lowest, highest].
[[nodiscard]] std::optional<std::string> read_whole_number(const std::string& text,
                                                           std::uint64_t lowest,
                                                           std::uint64_t highest);
/// "true" or "false".
[[nodiscard]] std::optional<std::string> read_flag(const std::string& text);
/// One of the words.
[[nodiscard]] std::optional<std::string> read_word(const std::string& text,
                                                   std::span<const std::string_view> words);
/// A number strictly between 0 and 1, in its shortest spelling.
[[nodiscard]] std::optional<std::string> read_fraction(const std::string& text);

/// The value of a key of a setting that expand_keys() made.
/// @throws InternalError  if the setting does not have the key
[[nodiscard]] const std::string& setting_value(const Setting& setting, const std::string& key);

}  // namespace lathe
