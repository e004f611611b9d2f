#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace lathe::jinja {

/// A word of an expression.
struct Token {
    enum class Kind { name, integer, real, string, mark, end };
    Kind kind = Kind::end;
    std::string text;  ///< of a string: what it stands for
    std::size_t line = 0;
};

/// A piece of a template: text as it stands, or the words in {{ }} or {% %}.
struct Piece {
    enum class Kind { text, output, statement };
    Kind kind;
    std::string text;
    std::vector<Token> tokens;  ///< ended by one of the kind `end`
    std::size_t line;
};

/// Cuts a template, white space already dropped as Jinja does with trim_blocks and lstrip_blocks:
/// the line break behind a statement or comment goes, and the blanks before one that begins a line.
/// Comments and raw blocks are resolved.
/// @throws DataError  naming the line
[[nodiscard]] std::vector<Piece> cut_template(std::string_view source);

}  // namespace lathe::jinja
