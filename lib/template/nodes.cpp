#include "lib/template/nodes.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lib/core/errors.hpp"
#include "lib/template/library.hpp"
#include "lib/template/work.hpp"

namespace lathe::jinja {
namespace {

bool contains(const Value& container, const Value& value) {
    if (container.is_string()) {
        return container.string().find(value.string()) != std::string::npos;
    }
    if (const Dict* dict = container.as_dict()) return dict->find(value) != nullptr;
    const List items = container.elements();
    return std::ranges::find(items, value) != items.end();
}

/// What Python's integers of any size can hold and those here cannot.
[[noreturn]] void refuse_overflow(std::int64_t a, const char* operation, std::int64_t b) {
    throw DataError(std::to_string(a) + " " + operation + " " + std::to_string(b) +
                    " has more than 64 bits");
}

std::int64_t sum_of(std::int64_t a, std::int64_t b) {
    std::int64_t result = 0;
    if (__builtin_add_overflow(a, b, &result)) refuse_overflow(a, "+", b);
    return result;
}

std::int64_t difference_of(std::int64_t a, std::int64_t b) {
    std::int64_t result = 0;
    if (__builtin_sub_overflow(a, b, &result)) refuse_overflow(a, "-", b);
    return result;
}

std::int64_t product_of(std::int64_t a, std::int64_t b) {
    std::int64_t result = 0;
    if (__builtin_mul_overflow(a, b, &result)) refuse_overflow(a, "*", b);
    return result;
}

/// Rounds towards minus infinity, as Python does.
std::int64_t floor_divide(std::int64_t a, std::int64_t b) {
    if (b == 0) throw DataError("division by zero");
    if (b == -1) return difference_of(0, a);  // a / b may overflow
    const std::int64_t quotient = a / b;
    return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

/// Has the sign of b, as in Python.
std::int64_t remainder_of(std::int64_t a, std::int64_t b) {
    if (b == 0) throw DataError("division by zero");
    if (b == -1) return 0;  // a % b may overflow
    const std::int64_t rest = a % b;
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

Value repeated(const Value& value, std::int64_t times) {
    if (value.is_string()) {
        std::string text;
        for (std::int64_t i = 0; i < times; ++i) {
            Work::spend_on_text(value.string().size());
            text += value.string();
        }
        return text;
    }
    List items;
    for (std::int64_t i = 0; i < times; ++i) {
        const List once = value.elements();
        items.insert(items.end(), once.begin(), once.end());
    }
    return Value::list(std::move(items));
}

Value add(const Value& a, const Value& b) {
    if (a.is_string() && b.is_string()) return a.string() + b.string();
    if (a.as_sequence() != nullptr && b.as_sequence() != nullptr) {
        List items = a.elements();
        const List more = b.elements();
        items.insert(items.end(), more.begin(), more.end());
        return a.as_sequence()->is_tuple ? Value::tuple(std::move(items))
                                         : Value::list(std::move(items));
    }
    if (!a.is_number() || !b.is_number()) {
        throw DataError("cannot add " + std::string(a.kind()) + " " + a.quoted() + " and " +
                        std::string(b.kind()) + " " + b.quoted());
    }
    if (a.as<double>() != nullptr || b.as<double>() != nullptr) return a.real() + b.real();
    return sum_of(a.integer(), b.integer());
}

Value arithmetic(const std::string& operation, const Value& a, const Value& b) {
    if (operation == "+") return add(a, b);
    if (operation == "*" && (a.is_string() || a.as_sequence() != nullptr)) {
        return repeated(a, b.integer());
    }
    const bool has_real = a.as<double>() != nullptr || b.as<double>() != nullptr;
    if (operation == "/") {
        if (b.real() == 0.0) throw DataError("division by zero");
        return a.real() / b.real();
    }
    if (has_real) {
        const double x = a.real();
        const double y = b.real();
        if (operation == "-") return x - y;
        if (operation == "*") return x * y;
        if (operation == "//") return std::floor(x / y);
        if (operation == "%") return x - y * std::floor(x / y);
        return std::pow(x, y);
    }
    const std::int64_t x = a.integer();
    const std::int64_t y = b.integer();
    if (operation == "-") return difference_of(x, y);
    if (operation == "*") return product_of(x, y);
    if (operation == "//") return floor_divide(x, y);
    if (operation == "%") return remainder_of(x, y);
    const double power = std::pow(static_cast<double>(x), static_cast<double>(y));
    return y < 0 ? Value(power) : Value::whole(power);
}

bool holds(const std::string& operation, const Value& a, const Value& b) {
    if (operation == "==") return a == b;
    if (operation == "!=") return !(a == b);
    if (operation == "<") return less(a, b);
    if (operation == ">") return less(b, a);
    if (operation == "<=") return !less(b, a);
    if (operation == ">=") return !less(a, b);
    return contains(b, a) == (operation == "in");
}

struct Bounds {
    std::int64_t begin;
    std::int64_t end;
    std::int64_t step;
};

/// Python's slice.indices().
Bounds bounds_of(const Value& begin, const Value& end, const Value& step, std::int64_t length) {
    const std::int64_t by = step.is_none() ? 1 : step.integer();
    if (by == 0) throw DataError("a slice with step 0");
    const auto place = [&](const Value& value, std::int64_t fallback) {
        if (value.is_none()) return fallback;
        const std::int64_t at = value.integer() < 0 ? value.integer() + length : value.integer();
        return by > 0 ? std::clamp<std::int64_t>(at, 0, length)
                      : std::clamp<std::int64_t>(at, -1, length - 1);
    };
    return {place(begin, by > 0 ? 0 : length - 1), place(end, by > 0 ? length : -1), by};
}

}  // namespace

Arguments WrittenArguments::evaluate(const Scope& scope) const {
    Arguments arguments;
    for (const auto& value : positional) arguments.positional.push_back(value->evaluate(scope));
    for (const auto& [name, value] : named) {
        arguments.named.emplace_back(name, value->evaluate(scope));
    }
    return arguments;
}

Value ListLiteral::evaluate(const Scope& scope) const {
    List items;
    for (const auto& item : items_) items.push_back(item->evaluate(scope));
    return is_tuple_ ? Value::tuple(std::move(items)) : Value::list(std::move(items));
}

Value DictLiteral::evaluate(const Scope& scope) const {
    Dict dict;
    for (const auto& [key, value] : items_) dict.set(key->evaluate(scope), value->evaluate(scope));
    return Value::dict(std::move(dict));
}

Value Unary::evaluate(const Scope& scope) const {
    const Value value = value_->evaluate(scope);
    if (operation_ == "not") return !value.is_true();
    if (operation_ == "+") return value;
    if (value.as<double>() != nullptr) return -value.real();
    return difference_of(0, value.integer());
}

Value Binary::evaluate(const Scope& scope) const {
    Value left = left_->evaluate(scope);
    if (operation_ == "and") return left.is_true() ? right_->evaluate(scope) : left;
    if (operation_ == "or") return left.is_true() ? left : right_->evaluate(scope);
    const Value right = right_->evaluate(scope);
    if (operation_ == "~") return left.text() + right.text();
    return arithmetic(operation_, left, right);
}

Value Comparison::evaluate(const Scope& scope) const {
    Value left = first_->evaluate(scope);
    for (const auto& [operation, expression] : steps_) {
        Value right = expression->evaluate(scope);
        if (!holds(operation, left, right)) return false;
        left = std::move(right);
    }
    return true;
}

Value Conditional::evaluate(const Scope& scope) const {
    if (condition_->evaluate(scope).is_true()) return value_->evaluate(scope);
    return otherwise_ ? otherwise_->evaluate(scope) : Value::undefined("else");
}

Value Part::evaluate(const Scope& scope) const {
    return part_of(value_->evaluate(scope), key_->evaluate(scope));
}

Value Slice::evaluate(const Scope& scope) const {
    const Value value = value_->evaluate(scope);
    const List items = value.elements();
    const auto bound = [&](const ExpressionPointer& expression) {
        return expression ? expression->evaluate(scope) : Value();
    };
    const Bounds bounds = bounds_of(bound(begin_), bound(end_), bound(step_),
                                    static_cast<std::int64_t>(items.size()));
    List chosen;
    for (std::int64_t i = bounds.begin; bounds.step > 0 ? i < bounds.end : i > bounds.end;) {
        chosen.push_back(items[static_cast<std::size_t>(i)]);
        if (__builtin_add_overflow(i, bounds.step, &i)) break;
    }
    if (value.is_string()) {
        std::string text;
        for (const Value& character : chosen) text += character.string();
        return text;
    }
    const Sequence* sequence = value.as_sequence();
    return sequence != nullptr && sequence->is_tuple ? Value::tuple(std::move(chosen))
                                                     : Value::list(std::move(chosen));
}

Value Call::evaluate(const Scope& scope) const {
    if (const auto* part = dynamic_cast<const Part*>(callee_.get())) {
        const Value value = part->value().evaluate(scope);
        const Value key = part->key().evaluate(scope);
        if (key.is_string() && has_method(value, key.string())) {
            return call_method(value, key.string(), arguments_.evaluate(scope));
        }
    }
    const Value callee = callee_->evaluate(scope);
    const Function* function = callee.as_function();
    if (function != nullptr) return (*function)(arguments_.evaluate(scope));
    if (const auto* undefined = callee.as<Value::Undefined>()) {
        throw DataError("'" + undefined->name + "' is undefined, or a function that is not known");
    }
    throw DataError("a value that is " + std::string(callee.kind()) + " cannot be called");
}

Value Filter::evaluate(const Scope& scope) const {
    return apply_filter(name_, value_->evaluate(scope), arguments_.evaluate(scope));
}

Value Test::evaluate(const Scope& scope) const {
    return passes_test(name_, value_->evaluate(scope), arguments_.evaluate(scope));
}

}  // namespace lathe::jinja
