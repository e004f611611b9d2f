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

/// Reads the keys of one JSON object and checks each value's type and range. A null is no value:
/// that is how transformers writes None. An absent key is none either, unless the reader has been
/// told whose defaults apply.
///
/// Every error is a DataError of the form `where: "key" is VALUE; expected WHAT`.
class ConfigReader {
public:
    /// `object` must outlive the reader. `where` names the file in messages; `parent` is put before
    /// the keys of a nested object ("rope_scaling.").
    /// @throws DataError  not a JSON object
    ConfigReader(const nlohmann::json& object, std::string where, std::string parent = "");

    /// From now on absent keys have the defaults of this family (lib/model/config_defaults.hpp),
    /// and a key's other name counts. To ask for a key that the table lacks is a bug. Nested
    /// objects have no defaults.
    void assume_defaults(std::string_view family);
    /// From now on unsupported() adds its message to the list and returns. Nested objects that are
    /// asked for later do so too. The list must outlive the reader.
    void list_unsupported(std::vector<std::string>* list) { unsupported_ = list; }

    /// Whether the object itself has a value for the key, not by default.
    [[nodiscard]] bool has(std::string_view key) const;
    /// Of the object's own keys.
    [[nodiscard]] std::size_t size() const;
    /// The names of the object's own keys whose values are objects.
    [[nodiscard]] std::vector<std::string> nested() const;

    /// A required integer. A whole number written as a float, 4096.0, is one.
    [[nodiscard]] std::size_t integer(std::string_view key, IntegerRange range) const;
    [[nodiscard]] std::optional<std::size_t> optional_integer(std::string_view key,
                                                              IntegerRange range) const;
    /// An integer or a floating number.
    [[nodiscard]] double number(std::string_view key, NumberRange range) const;
    [[nodiscard]] std::optional<double> optional_number(std::string_view key,
                                                        NumberRange range) const;
    /// No value is false.
    [[nodiscard]] bool boolean(std::string_view key) const;
    [[nodiscard]] std::string string(std::string_view key) const;
    [[nodiscard]] std::optional<std::string> optional_string(std::string_view key) const;
    /// Token ids: one integer or a list of them; absent: none.
    [[nodiscard]] std::vector<std::uint32_t> token_ids(std::string_view key) const;
    /// A list of strings; absent: none.
    [[nodiscard]] std::vector<std::string> strings(std::string_view key) const;
    /// A nested object; none if absent.
    [[nodiscard]] std::optional<ConfigReader> object(std::string_view key) const;

    /// Throws the DataError of this key: its value (or that it is missing) and `expected`.
    [[noreturn]] void refuse(std::string_view key, const std::string& expected) const;
    /// A value that is right in itself, but asks for what this program does not do: refuse(), or a
    /// line of the list.
    void unsupported(std::string_view key, const std::string& expected) const;
    /// The same with a message of its own, without `where`.
    void unsupported(const std::string& message) const;

    [[nodiscard]] const std::string& where() const { return where_; }

private:
    /// What the object says under the key or its other name, null too; none if it says nothing.
    [[nodiscard]] const nlohmann::json* written(std::string_view key) const;
    /// The value that counts; none: no value.
    [[nodiscard]] const nlohmann::json* find(std::string_view key) const;
    [[nodiscard]] std::string message(std::string_view key, const std::string& expected) const;

    const nlohmann::json* object_;
    std::string where_;
    std::string parent_;
    std::string family_;  ///< whose defaults apply; empty: nobody's
    std::vector<std::string>* unsupported_ = nullptr;
};

}  // namespace lathe
