#pragma once

#include <string>
#include <vector>

#include "workers/chain/chain.hpp"
#include "workers/slicing/rotation.hpp"
#include "workers/statistics/signal_statistics.hpp"

namespace lathe {

/// Calibrates one block of a model that is cut block by block, in the published order: each
/// rotation comes from a stream that the boundaries before have cut already. `block` = n_blocks:
/// the head. A task for all ranks. Artifacts: the statistics of the block and its rotations, both
/// of sweep 0.
struct SequentialTask {
    std::size_t block = 0;
    std::vector<std::size_t> widths;  ///< at all boundaries
    std::string statistics_fingerprint;
    std::string rotation_fingerprint;
    StoredStreams streams = {};
};
[[nodiscard]] std::string to_json(const SequentialTask& task);
[[nodiscard]] SequentialTask sequential_task_from_json(const std::string& text);

/// The chain of these tasks. Its stream stays at full width and in the source's basis: to cut it is
/// to project it.
class SequentialRotator final : public Chain<SequentialTask> {
public:
    /// @pre  `context` outlives the object
    SequentialRotator(const JobContext& context, const SequentialTask& first);

private:
    void repeat_block(const SequentialTask& task) override;
    void work_on_block(const SequentialTask& task) override;

    [[nodiscard]] LoadedWeights load() const;
    [[nodiscard]] StatisticsCollector no_statistics() const;
    /// Adds what run(batch, observe) shows of the batches of all ranks.
    template <class Run>
    void measure(StatisticsCollector& statistics, const Run& run) const;
    void cut(const Rotation& rotation, std::size_t width);
    /// The step is left out where nobody reads what comes out of it.
    void take_step(const LoadedWeights& weights, const SequenceRange& batch,
                   const SignalObserver& observe);

    const FusedModel& model_;
    const bool reads_end_;
    ForwardPass forward_;
    ResidualStream stream_;
    kernels::Array<float> memory_;     ///< for cuts
    std::vector<float> output_norms_;  ///< of the block's neurons, if they are ranked
};

}  // namespace lathe
