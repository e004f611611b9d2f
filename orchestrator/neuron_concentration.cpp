#include "orchestrator/neuron_concentration.hpp"

#include <algorithm>
#include <functional>
#include <numeric>

#include <fmt/format.h>

#include "lib/checkpoint/artifact.hpp"
#include "lib/core/json.hpp"
#include "workers/statistics/neuron_ranking.hpp"

namespace lathe {

namespace {

std::string key_of(std::size_t percent) {
    return "top_" + std::to_string(percent);
}

}  // namespace

std::array<double, 4> energy_shares(std::span<const double> second_moment) {
    std::vector<double> sums(second_moment.begin(), second_moment.end());
    std::ranges::sort(sums, std::greater<>());
    std::partial_sum(sums.begin(), sums.end(), sums.begin());
    std::array<double, 4> shares{};
    for (std::size_t i = 0; i < shares.size() && !sums.empty() && sums.back() > 0.0; ++i) {
        const std::size_t count = (NeuronConcentration::percents[i] * sums.size() + 99) / 100;
        shares[i] = sums[count - 1] / sums.back();
    }
    return shares;
}

std::vector<NeuronConcentration> read_concentration(const RunDirectory& run) {
    constexpr std::size_t most_named = 8;
    std::vector<NeuronConcentration> layers;
    std::error_code ignored;
    for (std::size_t block = 0;; ++block) {
        const std::filesystem::path file = run.neurons(block_name(block));
        if (!std::filesystem::exists(file, ignored)) {
            return layers;
        }
        const std::vector<double> energies = read_neuron_values(file, "").second_moment;
        const std::vector<std::int64_t> order = ArtifactReader(file).read_integers("/order");
        NeuronConcentration& layer = layers.emplace_back();
        layer.block = block;
        layer.n_neurons = energies.size();
        layer.shares = energy_shares(energies);
        for (std::size_t i = 0; i < std::min(most_named, order.size()); ++i) {
            layer.heaviest.push_back(static_cast<std::uint32_t>(order[i]));
        }
    }
}

nlohmann::json to_json(const std::vector<NeuronConcentration>& layers) {
    nlohmann::json array = nlohmann::json::array();
    for (const NeuronConcentration& layer : layers) {
        nlohmann::json object{{"block", layer.block},
                              {"neurons", layer.n_neurons},
                              {"heaviest", layer.heaviest},
                              {"worth_splitting", layer.is_worth_splitting()}};
        for (std::size_t i = 0; i < layer.shares.size(); ++i) {
            object["energy"][key_of(NeuronConcentration::percents[i])] = layer.shares[i];
        }
        array.push_back(std::move(object));
    }
    return array;
}

std::string to_text(const std::vector<NeuronConcentration>& layers) {
    if (layers.empty()) {
        return "";
    }
    std::string text = "  energy held by the heaviest neurons of each feed-forward layer\n  " +
                       fmt::format("{:<12} {:>8}", "block", "neurons");
    for (const std::size_t percent : NeuronConcentration::percents) {
        text += fmt::format(" {:>9}", "top " + std::to_string(percent) + " %");
    }
    text += "\n";
    for (const NeuronConcentration& layer : layers) {
        text += fmt::format("  {:<12} {:>8}", block_name(layer.block), layer.n_neurons);
        for (const double share : layer.shares) {
            text += fmt::format(" {:>7.2f} %", 100.0 * share);
        }
        text += layer.is_worth_splitting() ? "\n" : "  not worth splitting\n";
    }
    return text;
}

}  // namespace lathe
