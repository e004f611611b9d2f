#include "lib/template/statements.hpp"

#include "lib/core/errors.hpp"
#include "lib/template/library.hpp"

namespace lathe::jinja {
namespace {

/// Its table, and what a loop puts into it.
constexpr std::size_t units_per_scope = 100;

/// Does `work`; an error that names no line gets this one.
template <class Work>
auto at_line(std::size_t line, const Work& work) {
    try {
        return work();
    } catch (const DataError& error) {
        const std::string message = error.what();
        if (message.starts_with("line ")) throw;
        throw DataError("line " + std::to_string(line) + ": " + message);
    }
}

/// The variable `loop`.
Value loop_values(const List& items, std::size_t i) {
    const auto number = [](std::size_t value) { return Value(static_cast<std::int64_t>(value)); };
    Dict loop;
    loop.set("index", number(i + 1));
    loop.set("index0", number(i));
    loop.set("revindex", number(items.size() - i));
    loop.set("revindex0", number(items.size() - i - 1));
    loop.set("first", i == 0);
    loop.set("last", i + 1 == items.size());
    loop.set("length", number(items.size()));
    loop.set("depth", number(1));
    loop.set("depth0", number(0));
    loop.set("previtem", i == 0 ? Value::undefined("loop.previtem") : items[i - 1]);
    loop.set("nextitem", i + 1 == items.size() ? Value::undefined("loop.nextitem") : items[i + 1]);
    loop.set("cycle", Value::function([i](const Arguments& arguments) {
                 if (arguments.positional.empty()) throw DataError("cycle without values");
                 return arguments.positional[i % arguments.positional.size()];
             }));
    return Value::dict(std::move(loop));
}

}  // namespace

Statement::Flow render_block(const Block& block, const std::shared_ptr<Scope>& scope,
                             std::string& out) {
    for (const StatementPointer& statement : block) {
        Work::spend(1);
        const Statement::Flow flow = statement->render(scope, out);
        if (flow != Statement::Flow::on) return flow;
    }
    return Statement::Flow::on;
}

Statement::Flow Text::render(const std::shared_ptr<Scope>& /*scope*/, std::string& out) const {
    Work::spend_on_text(text_.size());
    out += text_;
    return Flow::on;
}

Statement::Flow Output::render(const std::shared_ptr<Scope>& scope, std::string& out) const {
    out += at_line(line_, [&] { return value_->evaluate(*scope).text(); });
    return Flow::on;
}

Statement::Flow If::render(const std::shared_ptr<Scope>& scope, std::string& out) const {
    for (const auto& [condition, body] : branches_) {
        const ExpressionPointer& expression = condition;
        if (at_line(line_, [&] { return expression->evaluate(*scope).is_true(); })) {
            return render_block(body, scope, out);
        }
    }
    return render_block(otherwise_, scope, out);
}

void For::bind(const Value& element, Scope& scope) const {
    Set::assign({head_.targets, std::nullopt}, element, scope);
}

List For::chosen_items(const std::shared_ptr<Scope>& scope) const {
    return at_line(head_.line, [&] {
        List items = head_.items->evaluate(*scope).elements();
        if (!head_.condition) return items;
        List chosen;
        for (const Value& item : items) {
            Work::spend(units_per_scope);
            Scope inner(scope);
            bind(item, inner);
            if (head_.condition->evaluate(inner).is_true()) chosen.push_back(item);
        }
        return chosen;
    });
}

Statement::Flow For::render(const std::shared_ptr<Scope>& scope, std::string& out) const {
    const List items = chosen_items(scope);
    for (std::size_t i = 0; i < items.size(); ++i) {
        Work::spend(units_per_scope);
        const auto inner = std::make_shared<Scope>(scope);
        inner->set("loop", loop_values(items, i));
        at_line(head_.line, [&] {
            bind(items[i], *inner);
            return true;
        });
        if (render_block(body_, inner, out) == Flow::end_loop) break;
    }
    if (items.empty()) return render_block(otherwise_, scope, out);
    return Flow::on;
}

void Set::assign(const Target& target, Value value, Scope& scope) {
    if (target.part) {
        Namespace* space = scope.find(target.names[0]).as_space();
        if (space == nullptr) {
            throw DataError("only a namespace's parts can be set, and " + target.names[0] +
                            " is none");
        }
        require_part(value);
        space->values.set(*target.part, std::move(value));
        return;
    }
    if (target.names.size() == 1) return scope.set(target.names[0], std::move(value));
    const List parts = value.elements();
    if (parts.size() != target.names.size()) {
        throw DataError("found " + std::to_string(parts.size()) + " values for " +
                        std::to_string(target.names.size()) + " names");
    }
    for (std::size_t i = 0; i < parts.size(); ++i) scope.set(target.names[i], parts[i]);
}

Statement::Flow Set::render(const std::shared_ptr<Scope>& scope, std::string& /*out*/) const {
    at_line(line_, [&] {
        assign(target_, value_->evaluate(*scope), *scope);
        return true;
    });
    return Flow::on;
}

Statement::Flow SetBlock::render(const std::shared_ptr<Scope>& scope, std::string& /*out*/) const {
    const auto inner = std::make_shared<Scope>(scope);
    std::string text;
    (void)render_block(body_, inner, text);
    inner->set(written, std::move(text));
    Set::assign(target_, filters_->evaluate(*inner), *scope);
    return Flow::on;
}

Value Macro::call(const std::shared_ptr<Scope>& scope, const Arguments& arguments) const {
    Work::check_stack();
    Work::spend(units_per_scope);
    const auto inner = std::make_shared<Scope>(scope);
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
        const auto& [name, fallback] = parameters_[i];
        const Value* given = arguments.find(i, name);
        inner->set(name, given != nullptr ? *given
                         : fallback       ? fallback->evaluate(*inner)
                                          : Value::undefined(name));
    }
    if (arguments.positional.size() > parameters_.size()) {
        throw DataError("the macro " + name_ + " takes at most " +
                        std::to_string(parameters_.size()) + " arguments");
    }
    std::string text;
    (void)render_block(body_, inner, text);
    return text;
}

Statement::Flow Macro::render(const std::shared_ptr<Scope>& scope, std::string& /*out*/) const {
    // A weak pointer: the scope holds the macro.
    const std::weak_ptr<Scope> around = scope;
    scope->set(name_, Value::function([this, around](const Arguments& arguments) {
                   return call(around.lock(), arguments);
               }));
    return Flow::on;
}

Statement::Flow Enclosed::render(const std::shared_ptr<Scope>& scope, std::string& out) const {
    return render_block(body_, std::make_shared<Scope>(scope), out);
}

}  // namespace lathe::jinja
