#include "orchestrator/report/html.hpp"

#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "lib/core/utf8.hpp"

namespace lathe::report {

std::string escaped(std::string_view text) {
    std::string result;
    for (const char c : repair_utf8(text)) {
        switch (c) {
            case '&':
                result += "&amp;";
                break;
            case '<':
                result += "&lt;";
                break;
            case '>':
                result += "&gt;";
                break;
            case '"':
                result += "&quot;";
                break;
            case '\'':
                result += "&#39;";
                break;
            default:
                // Control characters are no HTML.
                result += static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' ? '?' : c;
        }
    }
    return result;
}

std::string script_json(const nlohmann::json& data) {
    // Where numbers are, "<" cannot be: it is always in a text.
    std::string result;
    for (const char c : data.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)) {
        if (c == '<') {
            result += "\\u003c";
        } else {
            result += c;
        }
    }
    return result;
}

Table::Table(const std::vector<std::string>& titles) {
    for (const std::string& title : titles) {
        is_number_.push_back(title.starts_with('#'));
        head_ += fmt::format("<th scope=\"col\"{}>{}</th>", is_number_.back() ? " class=\"n\"" : "",
                             escaped(title.substr(is_number_.back() ? 1 : 0)));
    }
}

void Table::row(const std::vector<std::string>& cells, std::string_view row_class) {
    body_ += row_class.empty() ? "<tr>" : fmt::format("<tr class=\"{}\">", row_class);
    for (std::size_t i = 0; i < cells.size(); ++i) {
        const bool is_number = i < is_number_.size() && is_number_[i];
        body_ += fmt::format("<td{}>{}</td>", is_number ? " class=\"n\"" : "", cells[i]);
    }
    body_ += "</tr>\n";
    ++n_rows_;
}

std::string Table::html() const {
    return "<div class=\"scroll\"><table><thead><tr>" + head_ + "</tr></thead><tbody>\n" + body_ +
           "</tbody></table></div>\n";
}

std::string figure(std::string_view kind, std::string_view data, std::string_view caption) {
    return fmt::format(
        "<figure class=\"chart\" data-chart=\"{}\" data-key=\"{}\"><figcaption>{}</figcaption>"
        "</figure>\n",
        escaped(kind), escaped(data), escaped(caption));
}

std::string details(std::string_view summary, const std::string& content) {
    return fmt::format("<details><summary>{}</summary>\n{}</details>\n", escaped(summary), content);
}

std::string short_number(double value) {
    if (!std::isfinite(value)) {
        return "–";
    }
    const double size = std::abs(value);
    if (size == 0.0 || (size >= 1e-4 && size < 1e5)) {
        const int digits =
            size == 0.0 ? 0 : std::max(0, 2 - static_cast<int>(std::floor(std::log10(size))));
        return fmt::format("{:.{}f}", value, digits);
    }
    return fmt::format("{:.2e}", value);
}

std::string grouped(std::uint64_t count) {
    std::string digits = std::to_string(count);
    for (std::size_t place = digits.size(); place > 3; place -= 3) {
        digits.insert(place - 3, ",");
    }
    return digits;
}

std::string percent(double share, bool is_signed) {
    const double value = 100.0 * share;
    const int digits = std::abs(value) < 0.995 ? 3 : std::abs(value) < 99.5 ? 2 : 1;
    // A line does not end before the sign.
    return is_signed ? fmt::format("{:+.{}f}\u00a0%", value, digits)
                     : fmt::format("{:.{}f}\u00a0%", value, digits);
}

std::string plus_minus(const std::string& value, double error) {
    return std::isfinite(error) && error > 0.0 ? value + " ± " + short_number(error) : value;
}

}  // namespace lathe::report
