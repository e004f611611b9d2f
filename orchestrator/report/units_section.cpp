#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "orchestrator/report/html.hpp"
#include "orchestrator/report/sections.hpp"
#include "orchestrator/report/setting_labels.hpp"

namespace lathe::report {
namespace {

/// Where a unit stands: "block_0003.qkv" is of block 3, kind "qkv".
struct Place {
    std::optional<std::size_t> block;
    std::string kind;
};

Place place_of(const std::string& name) {
    constexpr std::string_view prefix = "block_";
    const std::size_t dot = name.find('.');
    if (!name.starts_with(prefix) || dot == std::string::npos || dot == prefix.size()) {
        return {std::nullopt, name};
    }
    const std::string digits = name.substr(prefix.size(), dot - prefix.size());
    const bool is_number = digits.size() <= 6 &&
                           std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; });
    if (!is_number) {
        return {std::nullopt, name};
    }
    return {std::stoul(digits), name.substr(dot + 1)};
}

double bits_of(Node unit) {
    const double weights = unit["weights"].number_or(0.0);
    return weights > 0.0 ? 8.0 * unit["bytes"].number_or(NAN) / weights : NAN;
}

nlohmann::json finite(double value) {
    return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json();
}

struct Kind {
    std::string name;
    double bytes = 0.0;
    double weights = 0.0;
    double least = INFINITY;  ///< bits a weight
    double most = -INFINITY;
};

}  // namespace

Section units_section(const RunFacts& facts) {
    const Node plan = facts.plan();
    const Node units = plan["units"];
    if (units.size() == 0) {
        return {};
    }
    const SettingLabels labels(facts);
    nlohmann::json cells = nlohmann::json::array();
    std::vector<Kind> kinds;
    Table table({"Unit", "Setting", "#Bytes", "#Bits a weight", "#Relative error", "#Score"});
    for (std::size_t u = 0; u < units.size(); ++u) {
        const Node unit = units.at(u);
        const std::string name = unit["name"].text();
        const Place place = place_of(name);
        const double bits = bits_of(unit);
        const std::string label = labels.label(unit["setting"].text());
        const double score = unit["score"].number_or(NAN);
        cells.push_back({{"block", place.block ? nlohmann::json(*place.block) : nlohmann::json()},
                         {"kind", place.kind},
                         {"setting", label},
                         {"bytes", unit["bytes"].count()},
                         {"bits", finite(bits)},
                         {"error", finite(unit["relative_error"].number_or(NAN))},
                         {"score", finite(score)}});
        auto kind = std::ranges::find(kinds, place.kind, &Kind::name);
        if (kind == kinds.end()) {
            kind = kinds.insert(kinds.end(), Kind{place.kind});
        }
        kind->bytes += unit["bytes"].number_or(0.0);
        kind->weights += unit["weights"].number_or(0.0);
        kind->least = std::min(kind->least, bits);
        kind->most = std::max(kind->most, bits);
        table.row({escaped(name), escaped(label), grouped(unit["bytes"].count()),
                   std::isfinite(bits) ? fmt::format("{:.3f}", bits) : "–",
                   short_number(unit["relative_error"].number_or(NAN)), short_number(score)});
    }
    Table summary({"Units", "#Bytes", "#Bits a weight", "#least", "#most"});
    const auto bits_text = [](double bits) {
        return std::isfinite(bits) ? fmt::format("{:.3f}", bits) : std::string("–");
    };
    for (const Kind& kind : kinds) {
        summary.row({escaped(kind.name), grouped(static_cast<std::uint64_t>(kind.bytes)),
                     bits_text(8.0 * kind.bytes / kind.weights), bits_text(kind.least),
                     bits_text(kind.most)});
    }
    Section section{"plan", "The plan", ""};
    const std::string score = plan["score"].text();
    section.html = fmt::format("<p>What the search gave to each unit: <b>{}</b>.{}</p>\n",
                               escaped(labels.label(plan["origin"].text())),
                               score.empty() ? "" : " Scores are by " + escaped(score) + ".") +
                   figure("heatMap", "units", "Bits a weight of each unit, block by block") +
                   summary.html() +
                   details(fmt::format("Table of units ({})", units.size()), table.html());
    section.data["units"] = std::move(cells);
    return section;
}

}  // namespace lathe::report
