#include <cmath>

#include <fmt/format.h>

#include "lib/dataset/paired.hpp"
#include "orchestrator/report/html.hpp"
#include "orchestrator/report/sections.hpp"
#include "orchestrator/report/setting_labels.hpp"

namespace lathe::report {
namespace {

/// Sums over windows, divided by their counts; empty if they do not belong together.
std::vector<double> per_token(Node sums, const std::vector<double>& counts) {
    std::vector<double> values;
    for (std::size_t w = 0; w < sums.size() && sums.size() == counts.size(); ++w) {
        const auto sum = sums.at(w).number();
        if (!sum || !(counts[w] > 0.0)) {
            return {};
        }
        values.push_back(*sum / counts[w]);
    }
    return values;
}

std::vector<double> differences(const std::vector<double>& a, const std::vector<double>& b) {
    std::vector<double> result;
    for (std::size_t i = 0; i < a.size() && a.size() == b.size(); ++i) {
        result.push_back(a[i] - b[i]);
    }
    return result;
}

/// Rounded for the page: a histogram does not show more.
nlohmann::json rounded(const std::vector<double>& values) {
    nlohmann::json array = nlohmann::json::array();
    for (const double value : values) {
        array.push_back(nlohmann::json::parse(fmt::format("{:.5g}", value)));
    }
    return array;
}

void add_difference(Node difference, const std::string& what, Table& table) {
    const auto mean = difference["mean"].number();
    if (!mean) {
        return;
    }
    const double error = difference["standard_error"].number_or(NAN);
    const double half = half_of_interval_95(error, difference["groups"].count());
    table.row(
        {what, fmt::format("{:+.5f}", *mean), short_number(error),
         std::isfinite(half) ? fmt::format("{:+.5f} to {:+.5f}", *mean - half, *mean + half) : "–",
         fmt::format("{:.2f}", difference["t"].number_or(NAN)),
         short_number(difference["p_value"].number_or(NAN)),
         grouped(difference["groups"].count())});
}

/// The text of the report that the windows are of.
Node entry_of(const RunFacts& facts, const std::string& file) {
    const Node evaluation = Node(facts.report)["evaluation"];
    for (std::size_t i = 0; i < evaluation.size(); ++i) {
        if (evaluation.at(i)["file"].text() == file && !evaluation.at(i)["task"].has_value()) {
            return evaluation.at(i);
        }
    }
    return {};
}

struct WindowCounts {
    std::vector<double> rows;       ///< tokens, for the KL
    std::vector<double> predicted;  ///< one less
};

WindowCounts counts_of(Node windows, bool is_classifier) {
    WindowCounts counts;
    const Node tokens = windows["tokens"];
    for (std::size_t w = 0; w < tokens.size(); ++w) {
        const double n = is_classifier ? 1.0 : tokens.at(w).number_or(0.0);
        counts.rows.push_back(n);
        counts.predicted.push_back(n - 1.0);
    }
    return counts;
}

std::string text_html(const RunFacts& facts, Node windows, std::size_t number,
                      nlohmann::json& data) {
    const std::string file = windows["file"].text();
    const Node entry = entry_of(facts, file);
    const bool is_classifier = entry.has_value() && !entry["perplexity"].has_value();
    const WindowCounts counts = counts_of(windows, is_classifier);
    const Node uniform = windows["uniform"];
    const std::string key = "windows" + std::to_string(number);
    const std::vector<double> kl = per_token(windows["kl"], counts.rows);
    const std::vector<double> uniform_kl = per_token(uniform["kl"], counts.rows);
    const std::vector<double> nll = per_token(windows["nll"], counts.predicted);
    const std::vector<double> source = per_token(windows["reference_nll"], counts.predicted);
    std::string html =
        "<h3>" + escaped(std::filesystem::path(file).filename().string()) + "</h3>\n";
    const std::string unit = is_classifier ? "text" : "token";
    Table table({"Difference, nats a " + unit, "#Mean", "#Standard error", "#95 % interval", "#t",
                 "#p", is_classifier ? "#Texts" : "#Windows"});
    add_difference(entry["nll_difference"], "-log p: compressed less source", table);
    add_difference(entry["uniform"]["difference"]["nll"], "-log p: compressed less uniform", table);
    add_difference(entry["uniform"]["difference"]["kl"], "KL: compressed less uniform", table);
    if (table.rows() > 0) {
        html += table.html();
    }
    if (kl.empty()) {
        return html + "<p>No figures of its windows are there.</p>\n";
    }
    data[key] = {{"unit", unit},
                 {"kl", rounded(kl)},
                 {"uniform", rounded(uniform_kl)},
                 {"toSource", rounded(differences(nll, source))},
                 {"toUniform", rounded(differences(kl, uniform_kl))}};
    return html + figure("windows", key,
                         is_classifier ? "KL of each text"
                                       : "KL of each window, and differences window by window");
}

std::string task_html(Node task) {
    const Node answers = task["answers"];
    std::string html = fmt::format("<h3>{}</h3>\n<p><code>{}</code></p>\n",
                                   escaped(task["task"].text()), escaped(task["file"].text()));
    Table metrics({"Metric", "#Source", "#Compressed", "#Examples"});
    for (std::size_t m = 0; m < task["metrics"].size(); ++m) {
        const Node metric = task["metrics"].at(m);
        metrics.row({escaped(metric["name"].text()),
                     plus_minus(fmt::format("{:.4f}", metric["source_value"].number_or(NAN)),
                                metric["source_standard_error"].number_or(NAN)),
                     plus_minus(fmt::format("{:.4f}", metric["value"].number_or(NAN)),
                                metric["standard_error"].number_or(NAN)),
                     grouped(task["examples"].count())});
    }
    html += metrics.html();
    if (!answers.has_value()) {
        return html;
    }
    Table pairs({"Answers", "#Source right", "#Source wrong"});
    pairs.row({"Compressed right", grouped(answers["both"].count()),
               grouped(answers["only_model"].count())});
    pairs.row({"Compressed wrong", grouped(answers["only_source"].count()),
               grouped(answers["neither"].count())});
    return html + pairs.html() +
           fmt::format(
               "<p>McNemar's exact test: p {}. Where the two differ, one is right more "
               "often than chance would have it if p is small.</p>\n",
               short_number(answers["p_value"].number_or(NAN)));
}

}  // namespace

Section windows_section(const RunFacts& facts) {
    Section section{"windows", "Window by window, answer by answer", ""};
    const Node windows = facts.windows;
    for (std::size_t t = 0; t < windows.size(); ++t) {
        section.html += text_html(facts, windows.at(t), t, section.data);
    }
    const Node evaluation = Node(facts.report)["evaluation"];
    for (std::size_t i = 0; i < evaluation.size(); ++i) {
        if (evaluation.at(i)["task"].has_value()) {
            section.html += task_html(evaluation.at(i));
        }
    }
    if (!section.html.empty()) {
        section.html =
            "<p>Both models see the same windows and examples, so that these being easy "
            "or hard cancels. Below 0 the compressed model is better.</p>\n" +
            section.html;
    }
    return section;
}

}  // namespace lathe::report
