#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "orchestrator/progress.hpp"
#include "orchestrator/report/html.hpp"
#include "orchestrator/report/sections.hpp"

namespace lathe::report {
namespace {

nlohmann::json timeline_data(const Timeline& timeline) {
    nlohmann::json data{{"stages", timeline.stages},
                        {"seconds", timeline.seconds},
                        {"ranks", timeline.ranks.size()},
                        {"starts", nlohmann::json::array()},
                        {"spans", nlohmann::json::array()}};
    for (const RunStart& start : timeline.starts) {
        data["starts"].push_back(
            {{"at", start.at}, {"pause", duration_text(start.pause)}, {"ranks", start.n_ranks}});
    }
    const auto rounded = [](double seconds) {
        return nlohmann::json::parse(fmt::format("{:.3f}", seconds));
    };
    // A row a span, not an object: there are thousands.
    for (const Span& span : timeline.spans) {
        nlohmann::json row{span.rank,         span.stage, rounded(span.begin),
                           rounded(span.end), span.tasks, span.longest};
        if (!span.unfinished.empty()) {
            row.push_back(span.unfinished);
        }
        data["spans"].push_back(std::move(row));
    }
    return data;
}

std::string rank_table(const Timeline& timeline) {
    Table table({"#Rank", "#Tasks", "#Seconds with a task", "#Idle", "#Share of its time"});
    for (const RankTime& rank : timeline.ranks) {
        table.row({std::to_string(rank.rank), grouped(rank.tasks), fmt::format("{:.1f}", rank.busy),
                   fmt::format("{:.1f}", std::max(0.0, rank.there - rank.busy)),
                   rank.there > 0.0 ? percent(std::min(1.0, rank.busy / rank.there)) : "–"});
    }
    return table.html();
}

/// The tasks that came to no end; the last ones where there are many.
std::string unfinished_html(const Timeline& timeline) {
    constexpr std::size_t most_rows = 100;
    const std::vector<const Span*> spans = timeline.unfinished();
    if (spans.empty()) {
        return "";
    }
    Table table({"Task", "#Rank", "#After", "Why"});
    const std::size_t first = spans.size() - std::min(spans.size(), most_rows);
    for (std::size_t s = first; s < spans.size(); ++s) {
        table.row({"<code>" + escaped(spans[s]->longest) + "</code>",
                   std::to_string(spans[s]->rank), duration_text(spans[s]->longest_seconds),
                   escaped(spans[s]->unfinished)});
    }
    return fmt::format("<p>{} came to no end{}; where they matter they were begun again:</p>\n",
                       spans.size() == 1 ? "1 task" : grouped(spans.size()) + " tasks",
                       first > 0 ? fmt::format(", of which the last {}", most_rows) : "") +
           table.html();
}

std::string start_table(const Timeline& timeline) {
    Table table({"#Start", "After", "#Ranks", "Where"});
    for (std::size_t s = 0; s < timeline.starts.size(); ++s) {
        const RunStart& start = timeline.starts[s];
        table.row({std::to_string(s + 1),
                   s == 0 ? "the beginning" : duration_text(start.pause) + " without a task",
                   std::to_string(start.n_ranks), escaped(start.where)});
    }
    return table.html();
}

std::string stage_table(Node stages) {
    Table table({"Stage", "#Seconds", "#Tasks", "#Done before"});
    for (std::size_t s = 0; s < stages.size(); ++s) {
        const Node stage = stages.at(s);
        table.row({escaped(stage["name"].text()),
                   fmt::format("{:.2f}", stage["seconds"].number_or(0.0)),
                   grouped(stage["tasks"].count()), grouped(stage["tasks_reused"].count())});
    }
    return table.rows() == 0 ? "" : table.html();
}

}  // namespace

Section ranks_section(const RunFacts& facts) {
    const Timeline& timeline = facts.timeline;
    Section section{"ranks", "What the ranks did", ""};
    if (!timeline.spans.empty()) {
        double busy = 0.0;
        double there = 0.0;
        for (const RankTime& rank : timeline.ranks) {
            busy += rank.busy;
            there += rank.there;
        }
        section.html = fmt::format(
            "<p>{} on {} rank{}{}; ranks had a task for {} of the time. Tasks of a pipeline "
            "(calibrate) "
            "hold the time that they wait for each other.</p>\n",
            duration_text(timeline.seconds), timeline.ranks.size(),
            timeline.ranks.size() == 1 ? "" : "s",
            timeline.starts.size() > 1 ? fmt::format(", in {} starts", timeline.starts.size()) : "",
            percent(there > 0.0 ? std::min(1.0, busy / there) : 0.0));
        section.html += figure("timeline", "timeline", "A row a rank, a colour a stage");
        section.data["timeline"] = timeline_data(timeline);
        section.html += unfinished_html(timeline);
        section.html += start_table(timeline) + details("Table of the ranks", rank_table(timeline));
    }
    section.html += stage_table(Node(facts.report)["stages"]);
    return section;
}

}  // namespace lathe::report
