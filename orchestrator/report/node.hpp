#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include <nlohmann/json_fwd.hpp>

namespace lathe::report {

/// A value in a JSON document that may lack it, or have something else there: files of a run that
/// was stopped, damaged, or written by another version. Asking never throws; what is not there is
/// an absent node. The document must outlive it.
class Node {
public:
    Node() = default;
    // NOLINTNEXTLINE(google-explicit-constructor): a document is its own root
    Node(const nlohmann::json& document) : value_(&document) {}

    [[nodiscard]] Node operator[](const char* key) const;
    [[nodiscard]] Node at(std::size_t index) const;
    [[nodiscard]] std::size_t size() const;  ///< of an array, else 0

    [[nodiscard]] bool has_value() const;
    /// A finite one.
    [[nodiscard]] std::optional<double> number() const;
    [[nodiscard]] double number_or(double other) const { return number().value_or(other); }
    [[nodiscard]] std::size_t count() const;  ///< 0 for what is no whole number
    [[nodiscard]] std::string text() const;   ///< "" for what is no text
    [[nodiscard]] bool is_true() const;
    /// Itself; null if it is absent.
    [[nodiscard]] nlohmann::json json() const;

private:
    const nlohmann::json* value_ = nullptr;
};

}  // namespace lathe::report
