#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/template/expression.hpp"

namespace lathe::jinja {

// The kinds of expressions.

class Constant final : public Expression {
public:
    explicit Constant(Value value) : value_(std::move(value)) {}
    Value evaluate(const Scope& /*scope*/) const override { return value_; }

private:
    Value value_;
};

class Name final : public Expression {
public:
    explicit Name(std::string name) : name_(std::move(name)) {}
    Value evaluate(const Scope& scope) const override { return scope.find(name_); }

private:
    std::string name_;
};

class ListLiteral final : public Expression {
public:
    ListLiteral(std::vector<ExpressionPointer> items, bool is_tuple)
        : items_(std::move(items)), is_tuple_(is_tuple) {}
    Value evaluate(const Scope& scope) const override;

private:
    std::vector<ExpressionPointer> items_;
    bool is_tuple_;
};

class DictLiteral final : public Expression {
public:
    using Items = std::vector<std::pair<ExpressionPointer, ExpressionPointer>>;
    explicit DictLiteral(Items items) : items_(std::move(items)) {}
    Value evaluate(const Scope& scope) const override;

private:
    Items items_;
};

/// "not", "-" and "+" before a value.
class Unary final : public Expression {
public:
    Unary(std::string operation, ExpressionPointer value)
        : operation_(std::move(operation)), value_(std::move(value)) {}
    Value evaluate(const Scope& scope) const override;

private:
    std::string operation_;
    ExpressionPointer value_;
};

/// Arithmetic, "~", "and", "or", "in" and one comparison.
class Binary final : public Expression {
public:
    Binary(std::string operation, ExpressionPointer left, ExpressionPointer right)
        : operation_(std::move(operation)), left_(std::move(left)), right_(std::move(right)) {}
    Value evaluate(const Scope& scope) const override;

private:
    std::string operation_;
    ExpressionPointer left_;
    ExpressionPointer right_;
};

/// a < b < c
class Comparison final : public Expression {
public:
    using Steps = std::vector<std::pair<std::string, ExpressionPointer>>;
    Comparison(ExpressionPointer first, Steps steps)
        : first_(std::move(first)), steps_(std::move(steps)) {}
    Value evaluate(const Scope& scope) const override;

private:
    ExpressionPointer first_;
    Steps steps_;
};

/// a if b else c; undefined without the last.
class Conditional final : public Expression {
public:
    Conditional(ExpressionPointer value, ExpressionPointer condition, ExpressionPointer otherwise)
        : value_(std::move(value)),
          condition_(std::move(condition)),
          otherwise_(std::move(otherwise)) {}
    Value evaluate(const Scope& scope) const override;

private:
    ExpressionPointer value_;
    ExpressionPointer condition_;
    ExpressionPointer otherwise_;
};

/// value.name and value[key]
class Part final : public Expression {
public:
    Part(ExpressionPointer value, ExpressionPointer key)
        : value_(std::move(value)), key_(std::move(key)) {}
    Value evaluate(const Scope& scope) const override;
    [[nodiscard]] const Expression& value() const { return *value_; }
    [[nodiscard]] const Expression& key() const { return *key_; }

private:
    ExpressionPointer value_;
    ExpressionPointer key_;
};

/// value[begin:end:step]
class Slice final : public Expression {
public:
    Slice(ExpressionPointer value, ExpressionPointer begin, ExpressionPointer end,
          ExpressionPointer step)
        : value_(std::move(value)),
          begin_(std::move(begin)),
          end_(std::move(end)),
          step_(std::move(step)) {}
    Value evaluate(const Scope& scope) const override;

private:
    ExpressionPointer value_;
    ExpressionPointer begin_;
    ExpressionPointer end_;
    ExpressionPointer step_;
};

/// Of a function, a macro, or a method of a string or mapping.
class Call final : public Expression {
public:
    Call(ExpressionPointer callee, WrittenArguments arguments)
        : callee_(std::move(callee)), arguments_(std::move(arguments)) {}
    Value evaluate(const Scope& scope) const override;

private:
    ExpressionPointer callee_;
    WrittenArguments arguments_;
};

class Filter final : public Expression {
public:
    Filter(std::string name, ExpressionPointer value, WrittenArguments arguments)
        : name_(std::move(name)), value_(std::move(value)), arguments_(std::move(arguments)) {}
    Value evaluate(const Scope& scope) const override;

private:
    std::string name_;
    ExpressionPointer value_;
    WrittenArguments arguments_;
};

class Test final : public Expression {
public:
    Test(std::string name, ExpressionPointer value, WrittenArguments arguments)
        : name_(std::move(name)), value_(std::move(value)), arguments_(std::move(arguments)) {}
    Value evaluate(const Scope& scope) const override;

private:
    std::string name_;
    ExpressionPointer value_;
    WrittenArguments arguments_;
};

}  // namespace lathe::jinja
