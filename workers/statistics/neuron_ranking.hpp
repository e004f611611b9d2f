#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "lib/checkpoint/artifact.hpp"
#include "lib/config/job_config.hpp"
#include "workers/job/job_context.hpp"
#include "workers/model/neuron_order.hpp"
#include "workers/model/weight_source.hpp"

namespace lathe {

/// What the neurons of a feed-forward layer add to its output, over the calibration tokens. Neuron
/// i adds a_i W[:, i], with its activation a_i and its column of down, a vector of length n_i.
/// Source: FFSplit, arXiv:2401.04044. Each [neurons].
struct NeuronStatistics {
    std::vector<double> second_moment;  ///< mean n_i^2
    std::vector<double> mean;           ///< mean n_i
    /// Share of tokens at which n_i is among the n_heavy() largest.
    std::vector<double> frequency;
};

/// ceil(0.05 n).
[[nodiscard]] inline std::size_t n_heavy(std::size_t n_neurons) {
    return (n_neurons + 19) / 20;
}

/// Lengths of the neurons' columns of down; none for what has no feed-forward layer.
[[nodiscard]] std::vector<float> output_norms(const LoadedWeights& weights,
                                              const kernels::Backend& backend);

/// The neurons by falling score, equal ones by index. `seed`: for a random order, of this layer.
/// @pre  `score` is not `removal`, which removal_order() finds
[[nodiscard]] NeuronOrder rank_neurons(const NeuronStatistics& statistics,
                                       FfsplitConfig::Score score, std::uint64_t seed);

/// Three datasets of these names in a group of an artifact ("" for the root), in the model's own
/// order of neurons. @throws IoError; reading DataError, MissingInputError
void write_neuron_values(ArtifactWriter& file, const std::string& group,
                         const NeuronStatistics& statistics);
[[nodiscard]] NeuronStatistics read_neuron_values(const std::filesystem::path& file,
                                                  const std::string& group);

/// Puts the neurons of one block in order by the job's score: RunDirectory::neurons() of the block,
/// with datasets `order` (uint32 [neurons], NeuronOrder) and those of NeuronStatistics.
struct NeuronTask {
    std::size_t block = 0;
    std::size_t sweep = 0;  ///< whose statistics count
    std::string fingerprint;
};
[[nodiscard]] std::string to_json(const NeuronTask& task);
[[nodiscard]] NeuronTask neuron_task_from_json(const std::string& text);
void run_neuron_ranking(const JobContext& context, const NeuronTask& task);

}  // namespace lathe
