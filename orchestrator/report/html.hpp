#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace lathe::report {

/// Text as HTML, in elements and in attributes; bytes that are no UTF-8 become U+FFFD. Names and
/// paths come from outside: nothing goes into a page without it.
[[nodiscard]] std::string escaped(std::string_view text);

/// A JSON document that can stand in a script element: no "<" is left in it.
[[nodiscard]] std::string script_json(const nlohmann::json& data);

/// A table. Columns whose title begins with '#' hold numbers; that '#' is not shown.
class Table {
public:
    explicit Table(const std::vector<std::string>& titles);
    /// Cells are HTML already.
    void row(const std::vector<std::string>& cells, std::string_view row_class = "");
    [[nodiscard]] std::size_t rows() const { return n_rows_; }
    [[nodiscard]] std::string html() const;

private:
    std::vector<bool> is_number_;
    std::string head_;
    std::string body_;
    std::size_t n_rows_ = 0;
};

/// A figure that a script draws in: `kind` is a function of charts/, `data` its key in the page's
/// data, `caption` plain text.
[[nodiscard]] std::string figure(std::string_view kind, std::string_view data,
                                 std::string_view caption);
/// Closed on a screen, open in print. `summary` is plain text, `content` HTML.
[[nodiscard]] std::string details(std::string_view summary, const std::string& content);

/// "0.0195", "1.2e-05": three digits that count.
[[nodiscard]] std::string short_number(double value);
/// "12,345,678".
[[nodiscard]] std::string grouped(std::uint64_t count);
/// "1.54 %" of 0.0154; signed: "+1.54 %".
[[nodiscard]] std::string percent(double share, bool is_signed = false);
/// "a &pm; b"; without the second if it is not finite.
[[nodiscard]] std::string plus_minus(const std::string& value, double error);

}  // namespace lathe::report
