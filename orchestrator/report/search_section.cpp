#include <cmath>

#include <fmt/format.h>

#include "orchestrator/report/html.hpp"
#include "orchestrator/report/sections.hpp"
#include "orchestrator/report/setting_labels.hpp"

namespace lathe::report {
namespace {

std::string generations_html(Node generations, nlohmann::json& data) {
    if (generations.size() == 0) {
        return "";
    }
    Table table({"#Generation", "#Variants screened", "#Plans measured", "#Best KL so far"});
    for (std::size_t g = 0; g < generations.size(); ++g) {
        const Node entry = generations.at(g);
        table.row({std::to_string(entry["generation"].count()), grouped(entry["screened"].count()),
                   grouped(entry["measured"].count()), short_number(entry["kl"].number_or(NAN))});
        if (entry["kl"].number()) {
            data["generations"].push_back({{"generation", entry["generation"].count()},
                                           {"screened", entry["screened"].count()},
                                           {"measured", entry["measured"].count()},
                                           {"kl", *entry["kl"].number()}});
        }
    }
    return figure("generations", "generations", "Least KL after each generation of evolution") +
           details(fmt::format("Table of generations ({})", generations.size()), table.html());
}

/// What each way of scoring foretold of each plan, beside what was measured.
nlohmann::json foretold(Node proxies, Node considered, const SettingLabels& labels) {
    nlohmann::json scores = nlohmann::json::array();
    for (std::size_t s = 0; s < proxies.size(); ++s) {
        const Node predicted = proxies.at(s)["predicted"];
        nlohmann::json points = nlohmann::json::array();
        for (std::size_t p = 0; p < std::min(predicted.size(), considered.size()); ++p) {
            const auto x = predicted.at(p).number();
            const auto y = considered.at(p)["kl"].number();
            if (x && y) {
                const std::string origin = considered.at(p)["origin"].text();
                points.push_back({{"label", labels.label(origin)},
                                  {"uniform", origin.starts_with("homogeneous")},
                                  {"predicted", *x},
                                  {"kl", *y}});
            }
        }
        if (!points.empty()) {
            scores.push_back({{"score", proxies.at(s)["score"].text()},
                              {"correlation", proxies.at(s)["rank_correlation"].json()},
                              {"points", std::move(points)}});
        }
    }
    return scores;
}

}  // namespace

Section search_section(const RunFacts& facts) {
    const Node plan = facts.plan();
    const Node proxies = plan["proxies"];
    Section section{"search", "What the search tried", ""};
    section.html = generations_html(plan["generations"], section.data);
    if (proxies.size() > 0) {
        Table table({"Score", "#Rank correlation with the KL measured"});
        for (std::size_t s = 0; s < proxies.size(); ++s) {
            const auto correlation = proxies.at(s)["rank_correlation"].number();
            table.row({escaped(proxies.at(s)["score"].text()),
                       correlation ? fmt::format("{:.3f}", *correlation) : "–"});
        }
        section.html +=
            "<h3>How well scores foretold it</h3>\n<p>Spearman's correlation over the "
            "plans that were measured. At 1 the score alone would have put them in the "
            "right order.</p>\n" +
            table.html();
        nlohmann::json scores = foretold(proxies, plan["considered"], SettingLabels(facts));
        if (!scores.empty()) {
            section.html +=
                figure("foretold", "foretold",
                       "Sum of the units' scores against the KL measured, a point a plan");
            section.data["foretold"] = std::move(scores);
        }
    }
    if (const Node refine = Node(facts.report)["refine"]; refine.has_value()) {
        section.html += fmt::format("<p>Refinement: KL {} before, {} after, {}.</p>\n",
                                    short_number(refine["plan_kl"].number_or(NAN)),
                                    short_number(refine["kl"].number_or(NAN)),
                                    refine["accepted"].is_true() ? "accepted" : "not accepted");
    }
    return section;
}

}  // namespace lathe::report
