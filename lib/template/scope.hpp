#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include "lib/template/value.hpp"
#include "lib/template/work.hpp"

namespace lathe::jinja {

/// The variables that are known at a place of a template: those of a block, and of those around it.
class Scope {
public:
    explicit Scope(std::shared_ptr<const Scope> outer = nullptr) : outer_(std::move(outer)) {}

    void set(const std::string& name, Value value) {
        values_.insert_or_assign(name, std::move(value));
    }
    /// An undefined value if there is no such variable.
    [[nodiscard]] Value find(const std::string& name) const {
        for (const Scope* scope = this; scope != nullptr; scope = scope->outer_.get()) {
            const auto value = scope->values_.find(name);
            if (value == scope->values_.end()) continue;
            if (value->second.is_string()) Work::spend_on_text(value->second.string().size());
            return value->second;
        }
        return Value::undefined(name);
    }

private:
    std::shared_ptr<const Scope> outer_;
    std::unordered_map<std::string, Value> values_;
};

}  // namespace lathe::jinja
