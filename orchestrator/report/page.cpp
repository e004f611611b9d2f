#include "orchestrator/report/page.hpp"

#include <fmt/format.h>

#include "lib/core/file.hpp"
#include "orchestrator/report/assets.hpp"
#include "orchestrator/report/html.hpp"

namespace lathe::report {
namespace {

/// What a page may do: draw itself. Whatever got into it, no request leaves it.
constexpr const char* policy =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

std::string contents(const std::vector<Section>& sections) {
    std::string links;
    for (const Section& section : sections) {
        if (!section.html.empty()) {
            links += fmt::format("<a href=\"#{}\">{}</a>\n", section.id, escaped(section.title));
        }
    }
    return "<nav aria-label=\"Sections\">\n" + links + "</nav>\n";
}

std::string state_text(const RunFacts& facts) {
    if (facts.state == "done") {
        return "";
    }
    std::string text = fmt::format("This run is <b>{}</b>", escaped(facts.state));
    if (!facts.status.stage.empty()) {
        text += fmt::format(": stage {}, {} of {} tasks", escaped(facts.status.stage),
                            facts.status.tasks_done, facts.status.tasks_total);
    }
    return "<p class=\"note\">" + text + ". Below is what is there so far.</p>\n";
}

std::string lead_of(const RunFacts& facts) {
    std::string text = state_text(facts);
    if (!facts.missing.empty()) {
        std::string list;
        for (const std::string& sentence : facts.missing) {
            list += "<li>" + escaped(sentence) + "</li>\n";
        }
        text += "<div class=\"note\"><p>Not in this report:</p><ul>\n" + list + "</ul></div>\n";
    }
    return text;
}

}  // namespace

std::string page_html(const PageText& page) {
    nlohmann::json data = nlohmann::json::object();
    std::string body;
    bool has_charts = false;
    for (const Section& section : page.sections) {
        if (section.html.empty()) {
            continue;
        }
        data.update(section.data);
        has_charts = has_charts || !section.data.empty();
        body += fmt::format("<section id=\"{}\">\n<h2>{}</h2>\n{}</section>\n", section.id,
                            escaped(section.title), section.html);
    }
    std::string html = fmt::format(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
        "<meta name=\"color-scheme\" content=\"light dark\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n"
        "<link rel=\"icon\" href=\"data:,\">\n<title>{}</title>\n<style>\n{}</style>\n</head>\n"
        "<body>\n<main>\n<h1>{}</h1>\n{}{}{}</main>\n",
        policy, escaped(page.title), style_text(), escaped(page.title), page.lead,
        contents(page.sections), body);
    if (has_charts) {
        html += "<script type=\"application/json\" id=\"data\">" + script_json(data) +
                "</script>\n<script>";
        html += library_text();
        html += "</script>\n<script>\n";
        html += charts_text();
        html += "</script>\n";
    }
    return html + "</body>\n</html>\n";
}

std::string report_html(const RunFacts& facts) {
    PageText page;
    page.title = facts.is_empty() ? "No run is here" : facts.model_name() + ", compressed by Lathe";
    page.lead = lead_of(facts);
    for (const auto make :
         {answer_section, plans_section, units_section, search_section, windows_section,
          ranks_section, slicing_section, neurons_section, tensors_section, job_section}) {
        page.sections.push_back(make(facts));
    }
    return page_html(page);
}

Written write_report(const RunDirectory& run, const std::filesystem::path& file, bool at_end) {
    const RunFacts facts = read_run_facts(run, at_end);
    write_file(file, report_html(facts));
    return {facts.state, facts.missing, facts.is_empty()};
}

}  // namespace lathe::report
