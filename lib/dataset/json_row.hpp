#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace lathe {

/// One object of a JSON Lines file, or an object in it, read strictly: every function checks the
/// type, and every complaint is a DataError `FILE: line N: problem`.
class JsonRow {
public:
    /// `object` must outlive the row. @throws DataError  if it is no object
    JsonRow(const nlohmann::json& object, std::string place);

    [[nodiscard]] bool has(std::string_view key) const;
    /// Comma separated, in alphabetical order.
    [[nodiscard]] std::string keys() const;

    [[nodiscard]] std::string text(std::string_view key) const;
    [[nodiscard]] std::vector<std::string> texts(std::string_view key) const;
    [[nodiscard]] JsonRow object(std::string_view key) const;
    /// A string, or an integer as decimal digits: files differ in how they write labels.
    [[nodiscard]] std::string text_or_integer(std::string_view key) const;

    [[noreturn]] void fail(const std::string& problem) const;

private:
    [[nodiscard]] const nlohmann::json& at(std::string_view key) const;

    const nlohmann::json* object_;
    std::string place_;
};

}  // namespace lathe
