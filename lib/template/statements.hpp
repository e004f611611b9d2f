#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/template/expression.hpp"
#include "lib/template/statement.hpp"

namespace lathe::jinja {

// The kinds of statements.

class Text final : public Statement {
public:
    explicit Text(std::string text) : text_(std::move(text)) {}
    Flow render(const std::shared_ptr<Scope>& scope, std::string& out) const override;

private:
    std::string text_;
};

/// {{ value }}; an error in it names the line.
class Output final : public Statement {
public:
    Output(ExpressionPointer value, std::size_t line) : value_(std::move(value)), line_(line) {}
    Flow render(const std::shared_ptr<Scope>& scope, std::string& out) const override;

private:
    ExpressionPointer value_;
    std::size_t line_;
};

class If final : public Statement {
public:
    using Branches = std::vector<std::pair<ExpressionPointer, Block>>;
    /// `branches`: of `if` and each `elif`.
    If(Branches branches, Block otherwise, std::size_t line)
        : branches_(std::move(branches)), otherwise_(std::move(otherwise)), line_(line) {}
    Flow render(const std::shared_ptr<Scope>& scope, std::string& out) const override;

private:
    Branches branches_;
    Block otherwise_;
    std::size_t line_;
};

class For final : public Statement {
public:
    struct Head {
        std::vector<std::string> targets;  ///< several: each element is taken apart
        ExpressionPointer items;
        ExpressionPointer condition;  ///< null: all elements
        std::size_t line;
    };
    For(Head head, Block body, Block otherwise)
        : head_(std::move(head)), body_(std::move(body)), otherwise_(std::move(otherwise)) {}
    Flow render(const std::shared_ptr<Scope>& scope, std::string& out) const override;

private:
    [[nodiscard]] List chosen_items(const std::shared_ptr<Scope>& scope) const;
    void bind(const Value& element, Scope& scope) const;

    Head head_;
    Block body_;
    Block otherwise_;
};

/// {% set a, b = value %}, {% set space.name = value %}, {% set a %}...{% endset %}
class Set final : public Statement {
public:
    struct Target {
        std::vector<std::string> names;
        std::optional<std::string> part;  ///< of a namespace names[0]
    };
    Set(Target target, ExpressionPointer value, std::size_t line)
        : target_(std::move(target)), value_(std::move(value)), line_(line) {}
    Flow render(const std::shared_ptr<Scope>& scope, std::string& out) const override;
    static void assign(const Target& target, Value value, Scope& scope);

private:
    Target target_;
    ExpressionPointer value_;
    std::size_t line_;
};

class SetBlock final : public Statement {
public:
    /// `filters` is applied to what the body writes, a variable of the name `written`.
    SetBlock(Set::Target target, ExpressionPointer filters, Block body)
        : target_(std::move(target)), filters_(std::move(filters)), body_(std::move(body)) {}
    Flow render(const std::shared_ptr<Scope>& scope, std::string& out) const override;

    static constexpr const char* written = " written";  // no template can name it

private:
    Set::Target target_;
    ExpressionPointer filters_;
    Block body_;
};

class Macro final : public Statement {
public:
    struct Parameter {
        std::string name;
        ExpressionPointer fallback;  ///< null: undefined
    };
    Macro(std::string name, std::vector<Parameter> parameters, Block body)
        : name_(std::move(name)), parameters_(std::move(parameters)), body_(std::move(body)) {}
    Flow render(const std::shared_ptr<Scope>& scope, std::string& out) const override;

private:
    [[nodiscard]] Value call(const std::shared_ptr<Scope>& scope, const Arguments& arguments) const;

    std::string name_;
    std::vector<Parameter> parameters_;
    Block body_;
};

/// A body with a scope of its own: {% generation %}.
class Enclosed final : public Statement {
public:
    explicit Enclosed(Block body) : body_(std::move(body)) {}
    Flow render(const std::shared_ptr<Scope>& scope, std::string& out) const override;

private:
    Block body_;
};

class Jump final : public Statement {
public:
    explicit Jump(Flow flow) : flow_(flow) {}
    Flow render(const std::shared_ptr<Scope>& /*scope*/, std::string& /*out*/) const override {
        return flow_;
    }

private:
    Flow flow_;
};

}  // namespace lathe::jinja
