#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "orchestrator/progress.hpp"
#include "orchestrator/report/html.hpp"
#include "orchestrator/report/sections.hpp"
#include "orchestrator/report/setting_labels.hpp"

namespace lathe::report {
namespace {

/// A plan that was run on the search's evaluation samples.
struct Measured {
    std::string label;
    std::string origin;
    std::string budget;
    double bytes = 0.0;
    double kl = 0.0;
    double error = NAN;  ///< standard error of kl
    double perplexity = NAN;
    bool is_uniform = false;
    bool is_chosen = false;
    bool is_best = false;  ///< no other is smaller and diverges less
};

void add_measured(const PlanFile& plan, const SettingLabels& labels,
                  std::vector<Measured>& result) {
    const Node node = plan.node();
    const Node considered = node["considered"];
    bool found_chosen = false;
    for (std::size_t p = 0; p < considered.size(); ++p) {
        const Node entry = considered.at(p);
        const auto bytes = entry["predicted_bytes"].number();
        const auto kl = entry["kl"].number();
        if (!bytes || !kl) {
            continue;
        }
        const std::string origin = entry["origin"].text();
        Measured& measured = result.emplace_back();
        measured.origin = origin;
        measured.label = labels.label(origin);
        measured.budget = node["budget"].text();
        measured.bytes = *bytes;
        measured.kl = *kl;
        measured.error = entry["kl_standard_error"].number_or(NAN);
        measured.perplexity = entry["perplexity"].number_or(NAN);
        measured.is_uniform = origin.starts_with("homogeneous");
        measured.is_chosen =
            !found_chosen && origin == node["origin"].text() && *kl == node["kl"].number_or(NAN);
        found_chosen = found_chosen || measured.is_chosen;
    }
}

void mark_best(std::vector<Measured>& plans) {
    std::ranges::stable_sort(plans, {}, [](const Measured& p) { return std::pair(p.bytes, p.kl); });
    double least = INFINITY;
    for (Measured& plan : plans) {
        plan.is_best = plan.kl < least;
        least = std::min(least, plan.kl);
    }
}

nlohmann::json pareto_data(const RunFacts& facts, const std::vector<Measured>& plans) {
    nlohmann::json data{{"source", facts.source_bytes},
                        {"budgets", nlohmann::json::array()},
                        {"plans", nlohmann::json::array()}};
    for (const PlanFile& plan : facts.plans) {
        if (const auto bytes = plan.node()["budget_bytes"].number()) {
            data["budgets"].push_back({{"name", plan.node()["budget"].text()}, {"bytes", *bytes}});
        }
    }
    for (const Measured& plan : plans) {
        data["plans"].push_back({{"label", plan.label},
                                 {"bytes", plan.bytes},
                                 {"kl", plan.kl},
                                 {"error", std::isfinite(plan.error) ? plan.error : 0.0},
                                 {"uniform", plan.is_uniform},
                                 {"chosen", plan.is_chosen},
                                 {"front", plan.is_best}});
    }
    return data;
}

std::string table_of(const RunFacts& facts, const std::vector<Measured>& plans) {
    Table table({"Plan", "Kind", "#Bytes", "#Ratio", "#KL, nats", "#Perplexity"});
    for (const Measured& plan : plans) {
        const std::string kind = plan.is_uniform ? "uniform" : "mixed";
        table.row({escaped(plan.label), plan.is_chosen ? kind + ", <b>chosen</b>" : kind,
                   grouped(static_cast<std::uint64_t>(plan.bytes)),
                   facts.source_bytes > 0 && plan.bytes > 0.0
                       ? fmt::format("{:.3f}", static_cast<double>(facts.source_bytes) / plan.bytes)
                       : "–",
                   plus_minus(short_number(plan.kl), plan.error),
                   std::isfinite(plan.perplexity) ? fmt::format("{:.3f}", plan.perplexity) : "–"},
                  plan.is_chosen ? "chosen" : (plan.is_best ? "" : "faint"));
    }
    return table.html();
}

}  // namespace

Section plans_section(const RunFacts& facts) {
    const SettingLabels labels(facts);
    std::vector<Measured> plans;
    for (const PlanFile& plan : facts.plans) {
        add_measured(plan, labels, plans);
    }
    if (plans.empty()) {
        return {};
    }
    mark_best(plans);
    const auto n_best = std::ranges::count(plans, true, &Measured::is_best);
    Section section{"plans", "Bytes against divergence", ""};
    section.html =
        fmt::format(
            "<p>Each plan that the search ran on its evaluation samples ({} of them, {} the best "
            "of "
            "their size): what it takes, and how far it is from the source. Bars are one standard "
            "error.</p>\n",
            plans.size(), n_best) +
        figure("pareto", "pareto", "Bytes of the checkpoint against KL to the source") +
        details(fmt::format("Table of plans ({})", plans.size()), table_of(facts, plans));
    section.data["pareto"] = pareto_data(facts, plans);
    return section;
}

}  // namespace lathe::report
