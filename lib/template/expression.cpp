#include "lib/template/expression.hpp"

#include <charconv>

#include "lib/core/errors.hpp"
#include "lib/template/nodes.hpp"

namespace lathe::jinja {
namespace {

// What reads and evaluates an expression calls itself for its parts, so neither how deep they stand
// within one another nor how many follow one another may be without limit.
constexpr std::size_t most_nodes = 1000;
constexpr std::size_t most_parentheses = 50;

}  // namespace

template <class Node, class... Parts>
ExpressionPointer ExpressionParser::make(Parts&&... parts) {
    if (++n_nodes_ > most_nodes) {
        fail("an expression of more than " + std::to_string(most_nodes) + " parts");
    }
    return std::make_unique<const Node>(std::forward<Parts>(parts)...);
}

void ExpressionParser::fail(const std::string& problem) const {
    throw DataError("line " + std::to_string(peek().line) + ": " + problem);
}

bool ExpressionParser::take(std::string_view text) {
    if (!is_name(text) && !is_mark(text)) return false;
    ++at_;
    return true;
}

std::string ExpressionParser::take_name() {
    if (peek().kind != Token::Kind::name) fail("expected a name, found '" + peek().text + "'");
    return tokens_[at_++].text;
}

void ExpressionParser::expect(std::string_view text) {
    if (!take(text)) {
        fail("expected '" + std::string(text) + "', found '" + peek().text + "'");
    }
}

void ExpressionParser::expect_end() {
    if (!at_end()) fail("unexpected '" + peek().text + "'");
}

ExpressionPointer ExpressionParser::expression(bool with_tuples) {
    ExpressionPointer value = disjunction();
    while (take("if")) {
        ExpressionPointer condition = disjunction();
        ExpressionPointer otherwise = take("else") ? expression() : nullptr;
        value = make<Conditional>(std::move(value), std::move(condition), std::move(otherwise));
    }
    if (!with_tuples || !is_mark(",")) return value;
    std::vector<ExpressionPointer> items;
    items.push_back(std::move(value));
    while (take(",") && !at_end()) items.push_back(expression());
    return make<ListLiteral>(std::move(items), true);
}

ExpressionPointer ExpressionParser::simple_expression() {
    return disjunction();
}

ExpressionPointer ExpressionParser::disjunction() {
    ExpressionPointer value = conjunction();
    while (take("or")) value = make<Binary>("or", std::move(value), conjunction());
    return value;
}

ExpressionPointer ExpressionParser::conjunction() {
    ExpressionPointer value = negation();
    while (take("and")) value = make<Binary>("and", std::move(value), negation());
    return value;
}

ExpressionPointer ExpressionParser::negation() {
    if (++level_ > most_parentheses) {
        fail("more than " + std::to_string(most_parentheses) + " parentheses within one another");
    }
    ExpressionPointer value = take("not") ? make<Unary>("not", negation()) : comparison();
    --level_;
    return value;
}

ExpressionPointer ExpressionParser::comparison() {
    ExpressionPointer value = sum();
    Comparison::Steps steps;
    while (true) {
        std::string operation;
        for (const char* mark : {"==", "!=", "<=", ">=", "<", ">"}) {
            if (is_mark(mark)) operation = mark;
        }
        if (is_name("in")) operation = "in";
        const bool is_negated = is_name("not") && tokens_[at_ + 1].text == "in";
        if (is_negated) {
            operation = "not in";
            ++at_;
        }
        if (operation.empty()) break;
        ++at_;
        steps.emplace_back(operation, sum());
    }
    if (steps.empty()) return value;
    return make<Comparison>(std::move(value), std::move(steps));
}

ExpressionPointer ExpressionParser::sum() {
    ExpressionPointer value = concatenation();
    while (is_mark("+") || is_mark("-")) {
        const std::string operation = tokens_[at_++].text;
        value = make<Binary>(operation, std::move(value), concatenation());
    }
    return value;
}

ExpressionPointer ExpressionParser::concatenation() {
    ExpressionPointer value = product();
    while (take("~")) value = make<Binary>("~", std::move(value), product());
    return value;
}

ExpressionPointer ExpressionParser::product() {
    ExpressionPointer value = signed_value();
    while (is_mark("*") || is_mark("/") || is_mark("//") || is_mark("%")) {
        const std::string operation = tokens_[at_++].text;
        value = make<Binary>(operation, std::move(value), signed_value());
    }
    return value;
}

/// A sign binds closer than filters: -1|abs is 1.
ExpressionPointer ExpressionParser::signed_value() {
    for (const char* sign : {"-", "+"}) {
        if (!take(sign)) continue;
        ExpressionPointer value = make<Unary>(sign, power());
        return test(filters(std::move(value)));
    }
    return test(filters(power()));
}

ExpressionPointer ExpressionParser::power() {
    ExpressionPointer value = postfix(primary());
    while (take("**")) value = make<Binary>("**", std::move(value), postfix(primary()));
    return value;
}

ExpressionPointer ExpressionParser::postfix(ExpressionPointer value) {
    while (true) {
        if (take(".")) {
            if (peek().kind == Token::Kind::integer) {
                const std::int64_t place = integer();
                value = make<Part>(std::move(value), make<Constant>(place));
            } else {
                value = make<Part>(std::move(value), make<Constant>(take_name()));
            }
        } else if (take("[")) {
            value = subscript(std::move(value));
        } else if (is_mark("(")) {
            value = make<Call>(std::move(value), arguments());
        } else {
            return value;
        }
    }
}

/// Behind the opening bracket.
ExpressionPointer ExpressionParser::subscript(ExpressionPointer value) {
    ExpressionPointer parts[3];
    std::size_t n_colons = 0;
    while (!take("]")) {
        if (take(":")) {
            if (++n_colons > 2) fail("a slice with more than three parts");
        } else {
            parts[n_colons] = expression(true);
            if (!is_mark(":") && !is_mark("]")) fail("expected ']', found '" + peek().text + "'");
        }
    }
    if (n_colons > 0) {
        return make<Slice>(std::move(value), std::move(parts[0]), std::move(parts[1]),
                           std::move(parts[2]));
    }
    if (!parts[0]) fail("an empty subscript");
    return make<Part>(std::move(value), std::move(parts[0]));
}

ExpressionPointer ExpressionParser::filters(ExpressionPointer value) {
    while (take("|")) {
        const std::string name = take_name();
        value =
            make<Filter>(name, std::move(value), is_mark("(") ? arguments() : WrittenArguments{});
        // A part of what a filter gives: (x | list)[0] without the parentheses.
        value = postfix(std::move(value));
    }
    return value;
}

ExpressionPointer ExpressionParser::test(ExpressionPointer value) {
    while (take("is")) {
        const bool is_negated = take("not");
        const std::string name = take_name();
        WrittenArguments written;
        const Token& next = peek();
        const bool is_value = next.kind == Token::Kind::string ||
                              next.kind == Token::Kind::integer || next.kind == Token::Kind::real ||
                              (next.kind == Token::Kind::name && next.text != "and" &&
                               next.text != "or" && next.text != "if" && next.text != "else" &&
                               next.text != "is" && next.text != "not" && next.text != "in");
        if (is_mark("(")) {
            written = arguments();
        } else if (is_value || is_mark("[") || is_mark("{")) {
            written.positional.push_back(postfix(primary()));
        }
        value = make<Test>(name, std::move(value), std::move(written));
        if (is_negated) value = make<Unary>("not", std::move(value));
        value = filters(std::move(value));
    }
    return value;
}

WrittenArguments ExpressionParser::arguments() {
    expect("(");
    WrittenArguments written;
    while (!take(")")) {
        if (is_mark("*") || is_mark("**")) fail("starred arguments are not supported");
        const bool is_named = peek().kind == Token::Kind::name && tokens_[at_ + 1].text == "=" &&
                              tokens_[at_ + 1].kind == Token::Kind::mark;
        if (is_named) {
            std::string name = take_name();
            expect("=");
            written.named.emplace_back(std::move(name), expression());
        } else {
            written.positional.push_back(expression());
        }
        if (!is_mark(")")) expect(",");
    }
    return written;
}

std::int64_t ExpressionParser::integer() {
    const std::string& text = peek().text;
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) {
        fail("the number " + text + " is too large");
    }
    ++at_;
    return value;
}

double ExpressionParser::real() {
    const std::string& text = peek().text;
    double value = 0.0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) {
        fail("the number " + text + " is too large or too small");
    }
    ++at_;
    return value;
}

ExpressionPointer ExpressionParser::primary() {
    const Token& token = peek();
    switch (token.kind) {
        case Token::Kind::string:
            return string_literal();
        case Token::Kind::integer:
            return make<Constant>(integer());
        case Token::Kind::real:
            return make<Constant>(real());
        case Token::Kind::name:
            return name_or_constant();
        default:
            break;
    }
    if (take("(")) return parenthesis();
    if (take("[")) return list_literal();
    if (take("{")) return dict_literal();
    fail(at_end() ? "the expression ends too early" : "unexpected '" + token.text + "'");
}

ExpressionPointer ExpressionParser::name_or_constant() {
    const std::string name = take_name();
    if (name == "true" || name == "True") return make<Constant>(true);
    if (name == "false" || name == "False") return make<Constant>(false);
    if (name == "none" || name == "None") return make<Constant>(Value());
    return make<Name>(name);
}

/// Strings that follow one another are one.
ExpressionPointer ExpressionParser::string_literal() {
    std::string text;
    while (peek().kind == Token::Kind::string) text += tokens_[at_++].text;
    return make<Constant>(std::move(text));
}

ExpressionPointer ExpressionParser::list_literal() {
    std::vector<ExpressionPointer> items;
    while (!take("]")) {
        items.push_back(expression());
        if (!is_mark("]")) expect(",");
    }
    return make<ListLiteral>(std::move(items), false);
}

ExpressionPointer ExpressionParser::dict_literal() {
    DictLiteral::Items items;
    while (!take("}")) {
        ExpressionPointer key = expression();
        expect(":");
        items.emplace_back(std::move(key), expression());
        if (!is_mark("}")) expect(",");
    }
    return make<DictLiteral>(std::move(items));
}

/// Behind the opening parenthesis.
ExpressionPointer ExpressionParser::parenthesis() {
    if (take(")")) return make<ListLiteral>(std::vector<ExpressionPointer>{}, true);
    ExpressionPointer value = expression();
    if (take(")")) return value;
    std::vector<ExpressionPointer> items;
    items.push_back(std::move(value));
    while (!take(")")) {
        expect(",");
        if (!is_mark(")")) items.push_back(expression());
    }
    return make<ListLiteral>(std::move(items), true);
}

}  // namespace lathe::jinja
