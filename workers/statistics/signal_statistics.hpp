#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/contract/backend.hpp"
#include "lib/config/job_config.hpp"
#include "lib/model/model_spec.hpp"
#include "workers/chain/shared_sums.hpp"

namespace lathe {

/// Statistics of one linear input, as stored: a group named by the signal with datasets
///   gram     float32 [d (d + 1) / 2]  x^T x / T over all T calibration tokens, each times its
///                            weight if the job weighs tokens: its upper triangle, packed
///                            (UpperTriangle); float64, by accumulate_stream_gram, where
///                            rotations are found from it
///   mean_abs float32 [d]     mean |x|: for mlp_hidden the neurons' activation norms
///   minimum, maximum float32 [d]
/// and the attribute `tokens` = T. In jobs that put neurons in order mlp_hidden also has
///   second_moment, mean, frequency float64 [d]  of each neuron (neuron_ranking.hpp)
struct SignalStatistics {
    std::size_t tokens = 0;
    std::size_t width = 0;
    std::vector<float> gram;  ///< [width, width], both triangles
};

/// @throws DataError  naming file and signal
[[nodiscard]] SignalStatistics read_statistics(const std::filesystem::path& file, Signal signal);
/// The Gram matrix alone, as exact as it is stored. [width, width], both triangles
[[nodiscard]] std::vector<double> read_wide_gram(const std::filesystem::path& file, Signal signal);

/// Gathers the statistics of signals, batch after batch.
class StatisticsCollector {
public:
    /// For a job: its `slice` says from which Gram matrices rotations are found; without `inputs`
    /// only those are gathered, and not the linear inputs that the compress stage asks for. With
    /// `output_norms`, those of the neurons' columns of down, neurons are ranked as well.
    /// @pre  `backend` outlives the object
    StatisticsCollector(const kernels::Backend& backend, const std::optional<SliceConfig>& slice,
                        bool inputs, std::vector<float> output_norms = {});

    /// x [tokens, features]. With factors, one for each token, the Gram matrix is that of x with
    /// its rows times these; one that gives a rotation is that of x in any case.
    void add(Signal signal, MatrixView<const float> x, std::span<const float> factors = {});
    /// Writes all of them. @throws IoError
    void write(const std::filesystem::path& file, const std::string& fingerprint) const;
    /// The Gram matrix of a signal so far: upper triangle, divided by the number of tokens; below
    /// the diagonal 0. [features, features]
    [[nodiscard]] std::vector<double> gram(Signal signal) const;

    /// As shared_sums.hpp has it, among collectors of the same job.
    [[nodiscard]] std::vector<double> shape() const;
    [[nodiscard]] std::vector<SumArray> arrays(std::span<const double> shape);

private:
    class Accumulator;
    [[nodiscard]] bool gives_rotation(Signal signal) const;
    [[nodiscard]] Accumulator& accumulator(Signal signal, std::size_t width);

    const kernels::Backend& backend_;
    std::optional<SliceConfig> slice_;
    bool inputs_;
    std::vector<float> output_norms_;
    std::map<Signal, std::shared_ptr<Accumulator>> accumulators_;
};

}  // namespace lathe
