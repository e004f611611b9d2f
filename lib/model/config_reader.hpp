#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace lathe {

/// Allowed values of an integer key, both ends included.
struct IntegerRange {
    std::uint64_t low = 0;
    std::uint64_t high = std::numeric_limits<std::int32_t>::max();
};

/// Allowed values of a number key, both ends included.
struct NumberRange {
    double low = 0.0;
    double high = std::numeric_limits<double>::max();
};

/// Reads the keys of one JSON object and checks each value's type and range. A key whose value is
/// null counts as absent: that is how transformers writes None.
///
/// Every error is a DataError of the form `where: "key" is VALUE; expected WHAT`.
class ConfigReader {
public:
    /// `object` must outlive the reader. `where` names the file in messages; `parent` is put before
    /// the keys of a nested object ("rope_scaling.").
    /// @throws DataError  not a JSON object
    ConfigReader(const nlohmann::json& object, std::string where, std::string parent = "");

    [[nodiscard]] bool has(std::string_view key) const;
    [[nodiscard]] bool empty() const;

    /// A required integer. 4096.0 is not one.
    [[nodiscard]] std::size_t integer(std::string_view key, IntegerRange range) const;
    [[nodiscard]] std::optional<std::size_t> optional_integer(std::string_view key,
                                                              IntegerRange range) const;
    /// An integer or a floating number.
    [[nodiscard]] double number(std::string_view key, NumberRange range) const;
    [[nodiscard]] std::optional<double> optional_number(std::string_view key,
                                                        NumberRange range) const;
    [[nodiscard]] bool boolean(std::string_view key, bool fallback) const;
    [[nodiscard]] std::string string(std::string_view key) const;
    [[nodiscard]] std::optional<std::string> optional_string(std::string_view key) const;
    /// Token ids: one integer or a list of them; absent or -1: none.
    [[nodiscard]] std::vector<std::uint32_t> token_ids(std::string_view key) const;
    /// A list of strings; absent: none.
    [[nodiscard]] std::vector<std::string> strings(std::string_view key) const;
    /// A nested object; none if absent.
    [[nodiscard]] std::optional<ConfigReader> object(std::string_view key) const;

    /// Throws the DataError of this key: its value (or that it is missing) and `expected`.
    [[noreturn]] void refuse(std::string_view key, const std::string& expected) const;

    [[nodiscard]] const std::string& where() const { return where_; }

private:
    [[nodiscard]] const nlohmann::json* find(std::string_view key) const;

    const nlohmann::json* object_;
    std::string where_;
    std::string parent_;
};

}  // namespace lathe
