#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "orchestrator/report/html.hpp"
#include "orchestrator/report/sections.hpp"

namespace lathe::report {
namespace {

/// Points of a curve at ranks that are evenly spaced on a logarithmic scale: [rank, share of the
/// sum].
nlohmann::json curve(const std::vector<double>& values) {
    constexpr std::size_t most_points = 96;
    const double sum = std::accumulate(values.begin(), values.end(), 0.0);
    nlohmann::json points = nlohmann::json::array();
    std::size_t last = 0;
    for (std::size_t i = 0; i < most_points && sum > 0.0; ++i) {
        const double exponent = static_cast<double>(i) / (most_points - 1);
        const auto rank = static_cast<std::size_t>(
            std::lround(std::pow(static_cast<double>(values.size()), exponent)));
        if (rank > last && values[rank - 1] > 0.0) {
            last = rank;
            points.push_back(
                {rank, nlohmann::json::parse(fmt::format("{:.4g}", values[rank - 1] / sum))});
        }
    }
    return points;
}

double share_of_first(const std::vector<double>& values, std::size_t count) {
    const auto end = values.begin() + static_cast<std::ptrdiff_t>(std::min(count, values.size()));
    const double sum = std::accumulate(values.begin(), values.end(), 0.0);
    return sum > 0.0 ? std::accumulate(values.begin(), end, 0.0) / sum : NAN;
}

std::string considered_html(Node considered) {
    Table table({"Widths by", "#Divergence of the model cut so, nats"});
    for (std::size_t i = 0; i < considered.size(); ++i) {
        table.row({escaped(considered.at(i)["name"].text()),
                   short_number(considered.at(i)["divergence"].number_or(NAN))});
    }
    return table.rows() == 0 ? "" : table.html();
}

}  // namespace

Section slicing_section(const RunFacts& facts) {
    const Node slice = Node(facts.report)["slice"];
    const Node widths = slice["widths"];
    const Spectra& spectra = facts.spectra;
    if (spectra.places.empty() && widths.size() == 0) {
        return {};
    }
    Section section{"slicing", "Spectra and widths", ""};
    Table table({"Boundary", "#Width", "#Of", "#Energy kept"});
    nlohmann::json lines = nlohmann::json::array();
    for (std::size_t b = 0; b < spectra.places.size(); ++b) {
        const Spectrum& spectrum = spectra.places[b];
        const std::size_t width = widths.at(b).count();
        lines.push_back({{"place", spectrum.place},
                         {"size", spectrum.values.size()},
                         {"width", width},
                         {"points", curve(spectrum.values)}});
        table.row({escaped(spectrum.place), width > 0 ? grouped(width) : "–",
                   grouped(spectrum.values.size()),
                   width > 0 ? percent(share_of_first(spectrum.values, width)) : "–"});
    }
    if (slice["parameters"].count() > 0) {
        section.html = fmt::format("<p>The sliced model has {} weights; the source {}.</p>\n",
                                   grouped(slice["parameters"].count()),
                                   grouped(Node(facts.report)["parameters"].count()));
    }
    section.html += considered_html(slice["considered"]);
    if (!spectra.places.empty()) {
        section.html +=
            figure("spectra", "spectra",
                   "Eigenvalues of the residual stream at each boundary, as shares of "
                   "their sum; dots where it is cut") +
            details(fmt::format("Table of boundaries ({})", table.rows()), table.html());
        section.data["spectra"] = std::move(lines);
    }
    return section;
}

}  // namespace lathe::report
