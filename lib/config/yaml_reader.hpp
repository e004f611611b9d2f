#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/config/job_config.hpp"

namespace lathe {

/// A YAML document as a plain value: every part knows its place, the order of keys is kept, a key
/// stands only once in its map, texts are as written.
struct YamlValue {
    enum class Kind { null, text, list, map };
    struct Entry;

    Kind kind = Kind::null;
    std::string text;              ///< of a text
    bool quoted = false;           ///< a text in quotes is never a number
    std::vector<YamlValue> items;  ///< of a list
    std::vector<Entry> entries;    ///< of a map
    SourcePlace place;
};

struct YamlValue::Entry {
    std::string key;
    SourcePlace place;
    YamlValue value;
};

/// The entry of a map with this key, or nullptr.
[[nodiscard]] YamlValue::Entry* find_entry(YamlValue& map, std::string_view key);

/// Parses one document; an empty text is a null value. Places are "file_name:line:column", counted
/// from 1.
/// @throws UsageError  with the place: not YAML, more than one document, a key given twice, a key
///   that is no text, tags, nesting deeper than 16 or more than 100000 values
[[nodiscard]] YamlValue parse_yaml(const std::string& yaml, const std::string& file_name);

/// "a.b.c=value": the keys on the way and the value, parsed as YAML, with place "--set a.b.c".
struct Override {
    std::vector<std::string> path;
    YamlValue value;
};

/// @throws UsageError  if there is no "=", a part of the path is empty or the value is not YAML
[[nodiscard]] Override parse_override(const std::string& text);

/// Puts the value in its place. What is no map on the way becomes one.
void apply_override(YamlValue& root, const Override& change);

/// "place: ", or nothing of what a program made and no file has.
[[nodiscard]] std::string prefix_of(const SourcePlace& place);
/// @throws UsageError  "place: message", always
[[noreturn]] void refuse_at(const SourcePlace& place, const std::string& message);

/// Reads the keys of one map, remembers which keys were asked for, and refuses all others.
/// Readers leave `out` as it is if the key is absent; errors name place, key, value and what was
/// expected.
class MapReader {
public:
    /// `value`: a map; nullptr or null count as an empty one. `path`: of the map, "" for the root.
    MapReader(const YamlValue* value, std::string path);

    /// The value of a key, or nullptr.
    [[nodiscard]] const YamlValue* find(std::string_view key);

    void read_text(std::string_view key, std::string& out);  ///< not empty
    void read_path(std::string_view key, std::filesystem::path& out);
    void read_whole(std::string_view key, std::uint64_t& out, std::uint64_t low,
                    std::uint64_t high);
    /// Above 0 and at most `high`.
    void read_positive(std::string_view key, double& out, double high);
    /// A number from `low` to below `end`.
    void read_share(std::string_view key, double& out, double low, double end);
    void read_flag(std::string_view key, bool& out);  ///< true or false
    /// One of `names`: the place in it.
    void read_choice(std::string_view key, std::size_t& out,
                     std::span<const std::string_view> names);
    void read_texts(std::string_view key, std::vector<std::string>& out);  ///< a list only
    /// One path or a list of them.
    void read_paths(std::string_view key, std::vector<std::filesystem::path>& out);

    /// "calibration.data" for key "data" of map "calibration".
    [[nodiscard]] std::string path_of(std::string_view key) const;

    /// To be called after all keys have been asked for.
    /// @throws UsageError  for the first key nobody asked for, with the valid ones and, if one is
    ///   at most two edits away, a suggestion
    void finish() const;

private:
    const YamlValue* map_ = nullptr;
    std::string path_;
    std::vector<std::string> known_;
};

/// A text of the value, not empty. `name` is for messages. @throws UsageError
[[nodiscard]] std::string text_of(const YamlValue& value, const std::string& name);

/// A finite number. @throws UsageError
[[nodiscard]] double number_of(const YamlValue& value, const std::string& name);

/// What a message says was found: the text in quotes, "a list", "a map" or "nothing".
[[nodiscard]] std::string describe(const YamlValue& value);

}  // namespace lathe
