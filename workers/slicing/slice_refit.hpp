#pragma once

#include <array>
#include <string>
#include <vector>

#include "workers/chain/chain.hpp"
#include "workers/slicing/cut_weights.hpp"
#include "workers/slicing/slice_fit.hpp"
#include "workers/slicing/sliced_model.hpp"
#include "workers/statistics/input_shift.hpp"

namespace lathe {

// Refitting a sliced model. Its weights are the source's, turned and cut, so that whatever a cut
// took away is missing from there on. What is left of the stream tells part of it: in the order of
// the model, on calibration samples,
// - what reads the normed stream y' at a boundary gets, in place of the basis alone, the linear map
//   P that comes nearest to the source's y from y' (least squares of y - P y'), so W becomes W P
//   for all W that read there at once;
// - what writes to the stream makes up for all that the stream is short of behind it: the source's,
//   in the basis there, less the sliced model's, regressed on the layer's input.
// Shapes, and so parameters, stay. Both are InputShift's regressions, with its choice of a penalty;
// where none helps on tokens that it was not fitted to, nothing is changed.

/// Fits the steps of one block, `block` = n_blocks: what reads the stream at the end. A task for
/// all ranks. Artifact: of write_slice_fit().
struct RefitTask {
    std::size_t block = 0;
    std::vector<std::size_t> widths;  ///< of the stream's boundaries
    std::string fingerprint;
    StoredStreams streams = {};
};
[[nodiscard]] std::string to_json(const RefitTask& task);
[[nodiscard]] RefitTask refit_task_from_json(const std::string& text);

/// The chain of these tasks, with two streams: the source's and the sliced model's.
class SliceRefitter final : public Chain<RefitTask> {
public:
    /// @pre  `context` outlives the object
    SliceRefitter(const JobContext& context, const RefitTask& first);

private:
    void repeat_block(const RefitTask& task) override;
    void work_on_block(const RefitTask& task) override;

    [[nodiscard]] StepFit fit_step(std::size_t step);
    /// What is to be added to the weights that read the stream before a step, and to a layer that
    /// writes to it; empty if nothing helps.
    [[nodiscard]] std::vector<float> fit_reading(std::size_t step);
    /// @pre  the source's stream has passed the step already
    [[nodiscard]] std::vector<float> fit_writing(std::size_t step, const StreamWriter& writer);
    [[nodiscard]] std::vector<float> correction(const InputShift& shift, std::size_t rows,
                                                MatrixView<const float> readers = {}) const;

    /// The source's weights that read the normed stream before a step, or at the end, one below the
    /// other. [rows, hidden_size]
    struct ReaderWeights {
        std::size_t rows = 0;
        kernels::Array<float> values;
    };
    [[nodiscard]] ReaderWeights stacked_readers(std::size_t step) const;

    void advance_source(std::size_t step);
    void advance(std::size_t step);
    [[nodiscard]] LoadedWeights load(const ModelSpec& spec, const WeightSource& weights,
                                     std::size_t step) const;
    /// The basis of the stream at a boundary, in backend memory: [width, hidden_size] or turned.
    [[nodiscard]] kernels::Array<float> basis(std::size_t boundary, bool turned) const;
    /// y = x / sqrt(|x|^2 / hidden_size + epsilon), for a stream x of any width.
    void norm(MatrixView<const float> x, MatrixView<float> y) const;
    template <class Add>
    [[nodiscard]] InputShift add_up(const Add& add) const;

    const FusedModel& source_;
    std::vector<std::size_t> widths_;
    SlicedModel target_;
    CutWeights weights_;
    ForwardPass source_forward_;
    ForwardPass forward_;
    ResidualStream source_stream_;
    ResidualStream stream_;
    std::array<kernels::Array<float>, 3> memory_;  ///< of a batch
};

}  // namespace lathe
