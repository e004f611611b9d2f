#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace lathe::tokenizer {

/// A value inside a JSON file together with its place, for reading strictly: every function checks
/// the type, and every complaint is a DataError `FILE: PLACE: problem`.
class JsonPlace {
public:
    /// `value` and `file` must outlive the object. `path` is empty for the whole file.
    JsonPlace(const nlohmann::json& value, const std::string& file, std::string path = "");

    [[nodiscard]] const nlohmann::json& value() const { return *value_; }
    [[nodiscard]] bool is_null() const;
    [[nodiscard]] bool is_list() const;
    [[nodiscard]] bool is_object() const;
    [[nodiscard]] bool is_string() const;
    /// "model.vocab", "added_tokens[3]"; empty for the whole file.
    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] const std::string& file() const { return *file_; }

    /// Member `key`. @throws DataError  if this is not an object or has no such member
    [[nodiscard]] JsonPlace at(std::string_view key) const;
    /// Member `key`; none if absent or null.
    [[nodiscard]] std::optional<JsonPlace> find(std::string_view key) const;
    /// The elements of a list.
    [[nodiscard]] std::vector<JsonPlace> items() const;

    [[nodiscard]] const std::string& string() const;
    [[nodiscard]] bool boolean() const;
    /// A whole number below 2^32.
    [[nodiscard]] std::uint32_t integer() const;
    /// A string of exactly one code point.
    [[nodiscard]] char32_t character() const;

    /// The same for a member that may be absent or null.
    [[nodiscard]] std::string string_or(std::string_view key, std::string_view fallback) const;
    [[nodiscard]] bool boolean_or(std::string_view key, bool fallback) const;

    [[noreturn]] void fail(const std::string& problem) const;

private:
    [[noreturn]] void fail_type(std::string_view expected) const;

    const nlohmann::json* value_;
    const std::string* file_;
    std::string path_;
};

}  // namespace lathe::tokenizer
