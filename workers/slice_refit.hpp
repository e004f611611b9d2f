#pragma once

#include <memory>
#include <string>
#include <vector>

#include "workers/job_context.hpp"

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
};
[[nodiscard]] std::string to_json(const RefitTask& task);
[[nodiscard]] RefitTask refit_task_from_json(const std::string& text);

/// Runs such tasks, one block after another, and holds the residual streams of this rank's samples,
/// the source's and the sliced model's, between them. A block that is not the next one is reached
/// by passing the fitted blocks before it again.
class SliceRefitter {
public:
    /// @pre  `context` outlives the object
    explicit SliceRefitter(const JobContext& context);
    ~SliceRefitter();

    /// @throws DataError  activations that are not finite, naming the place
    /// @throws StoppedError  if another rank gave up
    void run(const RefitTask& task);

private:
    class Pass;
    const JobContext& context_;
    std::unique_ptr<Pass> pass_;
};

}  // namespace lathe
