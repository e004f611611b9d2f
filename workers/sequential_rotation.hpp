#pragma once

#include <memory>
#include <string>
#include <vector>

#include "workers/job_context.hpp"
#include "workers/token_data.hpp"

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
};
[[nodiscard]] std::string to_json(const SequentialTask& task);
[[nodiscard]] SequentialTask sequential_task_from_json(const std::string& text);

/// Runs such tasks, one block after another, and holds the residual stream of this rank's samples
/// between them: one forward pass a block. A block that is not the next one is reached by passing
/// the finished blocks before it again.
class SequentialRotator {
public:
    /// @pre  `context` outlives the object
    explicit SequentialRotator(const JobContext& context);
    ~SequentialRotator();

    /// @throws DataError  weights or activations that are not finite, naming the place
    /// @throws StoppedError  if another rank gave up
    void run(const SequentialTask& task);

private:
    class Pass;
    const JobContext& context_;
    std::unique_ptr<Pass> pass_;
};

}  // namespace lathe
