#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lib/core/scratch_memory.hpp"
#include "workers/network/forward.hpp"

namespace lathe {

/// The residual stream of some samples on its way through a model: in memory is what stands before
/// one of the model's steps. Batches take a step one after another; where work between steps needs
/// them one by one, the caller takes the step batch by batch and says when all have.
///
/// Of a sliced model the rows of a batch are packed at the start of the batch's memory.
class ResidualStream {
public:
    /// Memory alone: embed() or copy() fills it. With a folder, and where kernels work in host
    /// memory, it lies in a file there, and the batch that is at work is in memory.
    /// @pre  all outlive the object
    ResidualStream(ForwardPass& forward, const TokenSequences& samples,
                   std::span<const SequenceRange> batches,
                   const std::filesystem::path& folder = {});

    /// The step that comes next, counted through the whole model.
    [[nodiscard]] std::size_t step() const { return step_; }
    /// A batch. [its tokens, ModelSpec::stream_width(step())]
    [[nodiscard]] MatrixView<float> part(const SequenceRange& batch) const;
    [[nodiscard]] bool all_finite() const;

    /// Goes to the beginning of the model.
    void embed(const WeightSource& weights);
    /// Becomes what another one of the same samples and model is.
    void copy(const ResidualStream& other);
    /// Goes before that step, without values yet: upload() of each batch has to follow.
    void stand_before(std::size_t step) { step_ = step; }
    /// A batch's values on the host, row after row, and back. `where` begins an error.
    /// @throws DataError  for another number of bytes than the batch has
    [[nodiscard]] std::vector<float> download(const SequenceRange& batch) const;
    void upload(std::span<const std::byte> values, const SequenceRange& batch,
                const std::string& where) const;

    /// All batches take the step, or all steps of a block.
    void take_step(const LoadedWeights& weights);
    void take_block(const LoadedWeights& weights);

    /// One batch takes the step; what it becomes is returned. After all have: pass_step().
    MatrixView<float> take_step(const LoadedWeights& weights, const SequenceRange& batch,
                                const SignalObserver& observe);
    void pass_step() { ++step_; }

    /// What a batch would become, computed in `memory`, which holds the batch at the width of
    /// hidden_size; the stream stays as it is. The observer sees the stream itself too.
    [[nodiscard]] MatrixView<float> try_step(const LoadedWeights& weights,
                                             const SequenceRange& batch,
                                             const kernels::Array<float>& memory,
                                             const SignalObserver& observe) const;

private:
    void work_on(const SequenceRange& batch) const;
    [[nodiscard]] std::size_t step_of_block() const {
        return step_ % forward_.spec().steps_per_block();
    }

    ForwardPass& forward_;
    const TokenSequences& samples_;
    std::span<const SequenceRange> batches_;
    kernels::Array<float> memory_;  ///< or:
    std::optional<ScratchMemory> scratch_;
    float* data_ = nullptr;          ///< [tokens, hidden_size] of one of them
    mutable SequenceRange at_work_;  ///< the batch asked for last
    std::size_t step_ = 0;
};

}  // namespace lathe
