#include <fmt/format.h>
#include <fmt/ranges.h>

#include "orchestrator/report/html.hpp"
#include "orchestrator/report/sections.hpp"

namespace lathe::report {

Section neurons_section(const RunFacts& facts) {
    if (facts.neurons.empty()) {
        return {};
    }
    Section section{"neurons", "Heavy hitters", ""};
    std::vector<std::string> titles{"Block", "#Neurons"};
    for (const std::size_t share : NeuronConcentration::percents) {
        titles.push_back(fmt::format("#top {} %", share));
    }
    titles.emplace_back("Heaviest");
    titles.emplace_back("Worth splitting");
    Table table(titles);
    nlohmann::json layers = nlohmann::json::array();
    for (const NeuronConcentration& layer : facts.neurons) {
        std::vector<std::string> cells{std::to_string(layer.block), grouped(layer.n_neurons)};
        for (const double share : layer.shares) {
            cells.push_back(percent(share));
        }
        cells.push_back(fmt::format("{}", fmt::join(layer.heaviest, ", ")));
        cells.emplace_back(layer.is_worth_splitting() ? "yes" : "no");
        table.row(cells);
        layers.push_back({{"block", layer.block}, {"shares", layer.shares}});
    }
    section.html =
        "<p>How much of a feed-forward layer's energy, the sum of its neurons' second moments, the "
        "heaviest neurons hold.</p>\n" +
        figure("neurons", "neurons",
               "Share of the energy in the top 1, 5, 10 and 25 % of neurons") +
        details(fmt::format("Table of layers ({})", table.rows()), table.html());
    section.data["neurons"] = {{"percents", NeuronConcentration::percents},
                               {"layers", std::move(layers)}};
    return section;
}

}  // namespace lathe::report
