#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lib/template/lexer.hpp"
#include "lib/template/scope.hpp"
#include "lib/template/value.hpp"

namespace lathe::jinja {

/// A part of a template that has a value.
class Expression {
public:
    virtual ~Expression() = default;
    [[nodiscard]] virtual Value evaluate(const Scope& scope) const = 0;
};
using ExpressionPointer = std::unique_ptr<const Expression>;

/// Arguments as they are written in a call.
struct WrittenArguments {
    std::vector<ExpressionPointer> positional;
    std::vector<std::pair<std::string, ExpressionPointer>> named;

    [[nodiscard]] Arguments evaluate(const Scope& scope) const;
};

/// Reads the words of one {{ }} or {% %} from left to right.
class ExpressionParser {
public:
    /// `tokens` must outlive the object.
    explicit ExpressionParser(const std::vector<Token>& tokens) : tokens_(tokens) {}

    /// With `else` and, if `with_tuples`, with commas. @throws DataError  naming the line
    [[nodiscard]] ExpressionPointer expression(bool with_tuples = false);
    /// Without the conditional form, so that "for x in y if z" can be read.
    [[nodiscard]] ExpressionPointer simple_expression();
    /// Filters for a value that is not written: those of a {% set %} block.
    [[nodiscard]] ExpressionPointer filters(ExpressionPointer value);

    [[nodiscard]] const Token& peek() const { return tokens_[at_]; }
    [[nodiscard]] bool at_end() const { return peek().kind == Token::Kind::end; }
    /// Takes the word if it is this mark or name.
    [[nodiscard]] bool take(std::string_view text);
    [[nodiscard]] std::string take_name();
    void expect(std::string_view text);
    void expect_end();
    [[noreturn]] void fail(const std::string& problem) const;

private:
    [[nodiscard]] ExpressionPointer disjunction();
    [[nodiscard]] ExpressionPointer conjunction();
    [[nodiscard]] ExpressionPointer negation();
    [[nodiscard]] ExpressionPointer comparison();
    [[nodiscard]] ExpressionPointer sum();
    [[nodiscard]] ExpressionPointer concatenation();
    [[nodiscard]] ExpressionPointer product();
    [[nodiscard]] ExpressionPointer signed_value();
    [[nodiscard]] ExpressionPointer power();
    [[nodiscard]] ExpressionPointer postfix(ExpressionPointer value);
    [[nodiscard]] ExpressionPointer subscript(ExpressionPointer value);
    [[nodiscard]] ExpressionPointer test(ExpressionPointer value);
    [[nodiscard]] ExpressionPointer primary();
    [[nodiscard]] ExpressionPointer name_or_constant();
    [[nodiscard]] ExpressionPointer string_literal();
    [[nodiscard]] ExpressionPointer list_literal();
    [[nodiscard]] ExpressionPointer dict_literal();
    [[nodiscard]] ExpressionPointer parenthesis();
    [[nodiscard]] WrittenArguments arguments();
    [[nodiscard]] std::int64_t integer();
    [[nodiscard]] double real();
    template <class Node, class... Parts>
    [[nodiscard]] ExpressionPointer make(Parts&&... parts);

    [[nodiscard]] bool is_name(std::string_view text) const {
        return peek().kind == Token::Kind::name && peek().text == text;
    }
    [[nodiscard]] bool is_mark(std::string_view text) const {
        return peek().kind == Token::Kind::mark && peek().text == text;
    }

    const std::vector<Token>& tokens_;
    std::size_t at_ = 0;
    std::size_t n_nodes_ = 0;
    std::size_t level_ = 0;
};

}  // namespace lathe::jinja
