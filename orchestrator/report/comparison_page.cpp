#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "orchestrator/progress.hpp"
#include "orchestrator/report/comparison.hpp"
#include "orchestrator/report/html.hpp"
#include "orchestrator/report/page.hpp"

namespace lathe::report {
namespace {

std::string known_text(double value, const char* format) {
    return std::isfinite(value) && value != 0.0 ? fmt::format(fmt::runtime(format), value) : "–";
}

std::string runs_table(const std::vector<ComparedRun>& runs) {
    Table table({"Run", "State", "Budget", "Plan", "#Bytes", "#Ratio", "#Bits a weight",
                 "#KL of the search", "#Seconds", "#Ranks"});
    for (const ComparedRun& run : runs) {
        table.row({"<b>" + escaped(run.name) + "</b>", escaped(run.state), escaped(run.budget),
                   escaped(run.plan),
                   run.bytes > 0.0 ? grouped(static_cast<std::uint64_t>(run.bytes)) : "–",
                   known_text(run.ratio, "{:.3f}"), known_text(run.bits, "{:.3f}"),
                   short_number(run.search_kl), known_text(run.seconds, "{:.1f}"),
                   std::to_string(run.ranks)});
    }
    return table.html();
}

std::string difference_text(const std::optional<PairedDifference>& difference) {
    if (!difference) {
        return "–";
    }
    return fmt::format(
        "{}, t {:.1f}, {} windows",
        plus_minus(fmt::format("{:+.5f}", difference->mean), difference->standard_error),
        difference->t, difference->groups);
}

std::string quality_table(const std::vector<ComparedRun>& runs) {
    Table table({"On", "Run", "#Perplexity or metric", "#KL to the source",
                 "#-log p less the first run's, nats", "#KL less the first run's"});
    std::vector<std::string> subjects;
    for (const ComparedRun& run : runs) {
        for (const ComparedQuality& quality : run.quality) {
            if (std::ranges::find(subjects, quality.subject) == subjects.end()) {
                subjects.push_back(quality.subject);
            }
        }
    }
    for (const std::string& subject : subjects) {
        for (const ComparedRun& run : runs) {
            for (const ComparedQuality& quality : run.quality) {
                if (quality.subject == subject) {
                    table.row(
                        {escaped(subject), escaped(run.name),
                         plus_minus(fmt::format("{:.4f}", quality.value), quality.standard_error),
                         short_number(quality.kl), difference_text(quality.nll),
                         difference_text(quality.kl_difference)});
                }
            }
        }
    }
    return table.rows() == 0 ? "" : table.html();
}

/// Every plan that each run measured.
nlohmann::json plans_data(const std::vector<RunFacts>& facts,
                          const std::vector<ComparedRun>& runs) {
    nlohmann::json data = nlohmann::json::array();
    for (std::size_t r = 0; r < runs.size(); ++r) {
        nlohmann::json points = nlohmann::json::array();
        for (const PlanFile& plan : facts[r].plans) {
            const Node considered = plan.node()["considered"];
            for (std::size_t p = 0; p < considered.size(); ++p) {
                const Node entry = considered.at(p);
                if (entry["predicted_bytes"].number() && entry["kl"].number_or(0.0) > 0.0) {
                    points.push_back({*entry["predicted_bytes"].number(), *entry["kl"].number()});
                }
            }
        }
        const Node chosen = facts[r].plan();
        data.push_back({{"name", runs[r].name},
                        {"points", std::move(points)},
                        {"bytes", chosen["predicted_bytes"].json()},
                        {"kl", chosen["kl"].json()}});
    }
    return data;
}

nlohmann::json stages_data(const std::vector<ComparedRun>& runs) {
    nlohmann::json data = nlohmann::json::array();
    for (const ComparedRun& run : runs) {
        nlohmann::json stages = nlohmann::json::array();
        for (const auto& [name, seconds] : run.stages) {
            stages.push_back({name, seconds});
        }
        data.push_back({{"name", run.name}, {"stages", std::move(stages)}});
    }
    return data;
}

std::string stages_table(const std::vector<ComparedRun>& runs) {
    Table table({"Run", "Stage", "#Seconds"});
    for (const ComparedRun& run : runs) {
        for (const auto& [name, seconds] : run.stages) {
            table.row({escaped(run.name), escaped(name), fmt::format("{:.2f}", seconds)});
        }
    }
    return table.html();
}

std::string missing_list(const std::vector<RunFacts>& facts, const std::vector<ComparedRun>& runs) {
    std::string list;
    for (std::size_t r = 0; r < facts.size(); ++r) {
        for (const std::string& sentence : facts[r].missing) {
            list += "<li>" + escaped(runs[r].name) + ": " + escaped(sentence) + "</li>\n";
        }
    }
    return list.empty()
               ? ""
               : "<div class=\"note\"><p>Not on this page:</p><ul>\n" + list + "</ul></div>\n";
}

}  // namespace

std::string comparison_html(const std::vector<RunFacts>& facts) {
    const std::vector<ComparedRun> runs = compare_runs(facts);
    PageText page;
    page.title = fmt::format("{} runs side by side", runs.size());
    page.lead = missing_list(facts, runs);
    Section table{"runs", "The runs", runs_table(runs)};
    Section plans{"plans", "Bytes against divergence",
                  figure("comparedPlans", "comparedPlans",
                         "Every plan that was measured; diamonds are those chosen")};
    plans.data["comparedPlans"] = plans_data(facts, runs);
    Section quality{"quality", "Quality", quality_table(runs)};
    if (!quality.html.empty()) {
        quality.html =
            "<p>Differences are paired, window by window, to the first run, on the "
            "windows that both have. Below 0 a run is better than the first.</p>\n" +
            quality.html;
    }
    Section times{"times", "Times",
                  figure("comparedTimes", "comparedTimes", "Seconds of the stages") +
                      details("Table of the stages", stages_table(runs))};
    times.data["comparedTimes"] = stages_data(runs);
    const auto has_stages = [](const ComparedRun& run) { return !run.stages.empty(); };
    const auto has_plan = [](const ComparedRun& run) { return run.bytes > 0.0; };
    page.sections = {table, quality};
    if (std::ranges::any_of(runs, has_plan)) {
        page.sections.insert(page.sections.begin() + 1, plans);
    }
    if (std::ranges::any_of(runs, has_stages)) {
        page.sections.push_back(times);
    }
    return page_html(page);
}

}  // namespace lathe::report
