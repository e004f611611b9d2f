#include "orchestrator/report/node.hpp"

#include <cmath>

#include "lib/core/json.hpp"

namespace lathe::report {

Node Node::operator[](const char* key) const {
    if (value_ == nullptr || !value_->is_object()) {
        return {};
    }
    const auto found = value_->find(key);
    return found == value_->end() ? Node() : Node(*found);
}

Node Node::at(std::size_t index) const {
    return index < size() ? Node((*value_)[index]) : Node();
}

std::size_t Node::size() const {
    return value_ != nullptr && value_->is_array() ? value_->size() : 0;
}

bool Node::has_value() const {
    return value_ != nullptr && !value_->is_null();
}

std::optional<double> Node::number() const {
    if (value_ == nullptr || !value_->is_number()) {
        return std::nullopt;
    }
    const auto number = value_->get<double>();
    return std::isfinite(number) ? std::optional(number) : std::nullopt;
}

std::size_t Node::count() const {
    return value_ != nullptr && value_->is_number_unsigned() ? value_->get<std::size_t>() : 0;
}

std::string Node::text() const {
    return value_ != nullptr && value_->is_string() ? value_->get<std::string>() : "";
}

bool Node::is_true() const {
    return value_ != nullptr && value_->is_boolean() && value_->get<bool>();
}

nlohmann::json Node::json() const {
    return value_ != nullptr ? *value_ : nlohmann::json();
}

}  // namespace lathe::report
