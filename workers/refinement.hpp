#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lib/job/candidate.hpp"
#include "workers/job_context.hpp"

namespace lathe {

/// Compresses the units of one block again, each under the setting that a plan chose for it, for
/// the inputs that it has behind the blocks that were refined before. `block` = n_blocks: the head.
/// A task for all ranks. Artifact: RunDirectory::refined() of `name` and the block, as
/// PartlyRefined::write() has it.
struct RefinementTask {
    std::size_t block = 0;
    std::vector<Setting> choice;  ///< the plan
    std::string name;             ///< of the refined plan
    std::string fingerprint;
};
[[nodiscard]] std::string to_json(const RefinementTask& task);
[[nodiscard]] RefinementTask refinement_task_from_json(const std::string& text);

/// Runs such tasks, one block after another, and holds the residual streams of this rank's samples,
/// the source's and the refined model's, between them. A block that is not the next one is reached
/// by passing the finished blocks before it again.
///
/// Within a block the units are solved in the order in which they run: those of a step that read
/// the stream, then those that write to it, on what the former now make. The target of a unit that
/// reads makes up for what its input is short of; that of one that writes also for what the stream
/// is short of behind it, which is all that went wrong so far.
class Refiner {
public:
    /// @pre  `context` outlives the object
    explicit Refiner(const JobContext& context);
    ~Refiner();

    /// @throws DataError  activations that are not finite, naming the place
    /// @throws StoppedError  if another rank gave up
    void run(const RefinementTask& task);

private:
    class Pass;
    const JobContext& context_;
    std::unique_ptr<Pass> pass_;
};

}  // namespace lathe
