#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/template/scope.hpp"

namespace lathe::jinja {

/// A part of a template that writes something or changes a variable.
class Statement {
public:
    /// What a loop does next.
    enum class Flow { on, next_round, end_loop };

    virtual ~Statement() = default;
    virtual Flow render(const std::shared_ptr<Scope>& scope, std::string& out) const = 0;
};
using StatementPointer = std::unique_ptr<const Statement>;
using Block = std::vector<StatementPointer>;

/// Renders one after another, up to a break or continue.
Statement::Flow render_block(const Block& block, const std::shared_ptr<Scope>& scope,
                             std::string& out);

/// @throws DataError  naming the line, and what is wrong or not supported
[[nodiscard]] Block parse_template(std::string_view source);

}  // namespace lathe::jinja
