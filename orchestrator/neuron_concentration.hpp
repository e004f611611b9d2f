#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "lib/job/run_directory.hpp"

namespace lathe {

/// How much of a feed-forward layer's energy, the sum of its neurons' second moments
/// (workers/statistics/neuron_ranking.hpp), the neurons with most of it hold.
struct NeuronConcentration {
    /// Percent of the neurons, rounded up to a whole number of them.
    static constexpr std::array<std::size_t, 4> percents{1, 5, 10, 25};

    std::size_t block = 0;
    std::size_t n_neurons = 0;
    std::array<double, 4> shares{};       ///< of the energy, held by the top `percents`
    std::vector<std::uint32_t> heaviest;  ///< the first of the order, at most 8

    /// Where the top tenth holds less than a quarter there are no heavy hitters to speak of.
    [[nodiscard]] bool is_worth_splitting() const { return shares[2] >= 0.25; }
};

[[nodiscard]] std::array<double, 4> energy_shares(std::span<const double> second_moment);

/// Of all blocks whose neurons a run has put in order. @throws DataError
[[nodiscard]] std::vector<NeuronConcentration> read_concentration(const RunDirectory& run);

/// An array with an object a block.
[[nodiscard]] nlohmann::json to_json(const std::vector<NeuronConcentration>& layers);
/// A table with a line a block.
[[nodiscard]] std::string to_text(const std::vector<NeuronConcentration>& layers);

}  // namespace lathe
