#include <array>
#include <initializer_list>

#include "lib/core/errors.hpp"
#include "lib/template/lexer.hpp"
#include "lib/template/nodes.hpp"
#include "lib/template/statements.hpp"

namespace lathe::jinja {
namespace {

using EndWords = std::initializer_list<std::string_view>;

/// Within one another.
constexpr std::size_t most_blocks = 50;

class TemplateParser {
public:
    explicit TemplateParser(std::string_view source) : pieces_(cut_template(source)) {}

    Block parse() {
        Block block = block_until({});
        if (at_ < pieces_.size()) {
            fail("unexpected {% " + first_word() + " %}");
        }
        return block;
    }

private:
    [[nodiscard]] const std::string& first_word() const { return pieces_[at_].tokens.front().text; }
    [[nodiscard]] std::size_t line() const { return pieces_[at_].line; }

    [[noreturn]] void fail(const std::string& problem) const {
        throw DataError("line " + std::to_string(at_ < pieces_.size() ? line() : last_line_) +
                        ": " + problem);
    }

    /// Up to a statement that begins with one of these words, which stays.
    Block block_until(EndWords ends) {
        if (++level_ > most_blocks) {
            fail("more than " + std::to_string(most_blocks) + " blocks within one another");
        }
        Block block = statements_until(ends);
        --level_;
        return block;
    }

    Block statements_until(EndWords ends) {
        Block block;
        for (; at_ < pieces_.size(); last_line_ = pieces_[at_ - 1].line) {
            const Piece& piece = pieces_[at_];
            if (piece.kind == Piece::Kind::text) {
                block.push_back(std::make_unique<const Text>(piece.text));
                ++at_;
            } else if (piece.kind == Piece::Kind::output) {
                ExpressionParser words(piece.tokens);
                block.push_back(std::make_unique<const Output>(words.expression(true), piece.line));
                words.expect_end();
                ++at_;
            } else {
                for (const std::string_view end : ends) {
                    if (first_word() == end) return block;
                }
                if (is_closing(first_word())) return block;
                block.push_back(statement());
            }
        }
        return block;
    }

    static bool is_closing(const std::string& word) {
        return word.starts_with("end") || word == "else" || word == "elif";
    }

    /// The words of the statement here, which is then done with.
    ExpressionParser take_words() { return ExpressionParser(pieces_[at_++].tokens); }

    void close(std::string_view end) {
        if (at_ >= pieces_.size() || first_word() != end) {
            fail("expected {% " + std::string(end) + " %}");
        }
        ++at_;
    }

    StatementPointer statement() {
        const std::string word = first_word();
        if (word == "if") return if_statement();
        if (word == "for") return for_statement();
        if (word == "set") return set_statement();
        if (word == "macro") return macro_statement();
        if (word == "generation") return generation_statement();
        if (word == "break" || word == "continue") {
            ++at_;
            return std::make_unique<const Jump>(word == "break" ? Statement::Flow::end_loop
                                                                : Statement::Flow::next_round);
        }
        fail("the statement {% " + word +
             " %} is not supported; supported are if, for, set, macro, break, continue, raw and "
             "generation");
    }

    StatementPointer if_statement() {
        const std::size_t begin = line();
        If::Branches branches;
        Block otherwise;
        while (true) {
            ExpressionParser words = take_words();
            (void)words.take_name();
            ExpressionPointer condition = words.expression(true);
            words.expect_end();
            Block body = block_until({"elif", "else", "endif"});
            branches.emplace_back(std::move(condition), std::move(body));
            if (at_ >= pieces_.size() || first_word() != "elif") break;
        }
        if (at_ < pieces_.size() && first_word() == "else") {
            ++at_;
            otherwise = block_until({"endif"});
        }
        close("endif");
        return std::make_unique<const If>(std::move(branches), std::move(otherwise), begin);
    }

    static std::vector<std::string> names(ExpressionParser& words) {
        std::vector<std::string> result;
        const bool is_enclosed = words.take("(");
        do {
            result.push_back(words.take_name());
        } while (words.take(","));
        if (is_enclosed) words.expect(")");
        return result;
    }

    StatementPointer for_statement() {
        For::Head head;
        head.line = line();
        ExpressionParser words = take_words();
        (void)words.take_name();
        head.targets = names(words);
        words.expect("in");
        head.items = words.simple_expression();
        if (words.take("if")) head.condition = words.expression();
        if (words.take("recursive")) words.fail("recursive loops are not supported");
        words.expect_end();
        Block body = block_until({"else", "endfor"});
        Block otherwise;
        if (at_ < pieces_.size() && first_word() == "else") {
            ++at_;
            otherwise = block_until({"endfor"});
        }
        close("endfor");
        return std::make_unique<const For>(std::move(head), std::move(body), std::move(otherwise));
    }

    StatementPointer set_statement() {
        const std::size_t begin = line();
        ExpressionParser words = take_words();
        (void)words.take_name();
        Set::Target target{names(words), std::nullopt};
        if (words.take(".")) target.part = words.take_name();
        if (words.take("=")) {
            ExpressionPointer value = words.expression(true);
            words.expect_end();
            return std::make_unique<const Set>(std::move(target), std::move(value), begin);
        }
        ExpressionPointer filters = words.filters(std::make_unique<const Name>(SetBlock::written));
        words.expect_end();
        Block body = block_until({"endset"});
        close("endset");
        return std::make_unique<const SetBlock>(std::move(target), std::move(filters),
                                                std::move(body));
    }

    StatementPointer macro_statement() {
        ExpressionParser words = take_words();
        (void)words.take_name();
        std::string name = words.take_name();
        std::vector<Macro::Parameter> parameters;
        words.expect("(");
        while (!words.take(")")) {
            Macro::Parameter parameter{words.take_name(), nullptr};
            if (words.take("=")) parameter.fallback = words.expression();
            parameters.push_back(std::move(parameter));
            if (words.take(")")) break;
            words.expect(",");
        }
        words.expect_end();
        Block body = block_until({"endmacro"});
        close("endmacro");
        return std::make_unique<const Macro>(std::move(name), std::move(parameters),
                                             std::move(body));
    }

    StatementPointer generation_statement() {
        ++at_;
        Block body = block_until({"endgeneration"});
        close("endgeneration");
        return std::make_unique<const Enclosed>(std::move(body));
    }

    std::vector<Piece> pieces_;
    std::size_t at_ = 0;
    std::size_t last_line_ = 1;
    std::size_t level_ = 0;
};

}  // namespace

Block parse_template(std::string_view source) {
    return TemplateParser(source).parse();
}

}  // namespace lathe::jinja
