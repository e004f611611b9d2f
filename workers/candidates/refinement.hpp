#pragma once

#include <map>
#include <string>
#include <vector>

#include "lib/job/candidate.hpp"
#include "workers/calibration/token_weights.hpp"
#include "workers/candidates/refined_weights.hpp"
#include "workers/chain/chain.hpp"
#include "workers/statistics/input_shift.hpp"

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
    StoredStreams streams = {};
};
[[nodiscard]] std::string to_json(const RefinementTask& task);
[[nodiscard]] RefinementTask refinement_task_from_json(const std::string& text);

/// The chain of these tasks, with two streams: the source's and the refined model's.
///
/// Within a block the units are solved in the order in which they run: those of a step that read
/// the stream, then those that write to it, on what the former now make. The target of a unit that
/// reads makes up for what its input is short of; that of one that writes also for what the stream
/// is short of behind it, which is all that went wrong so far.
class Refiner final : public Chain<RefinementTask> {
public:
    /// @pre  `context` outlives the object
    Refiner(const JobContext& context, const RefinementTask& first);

private:
    void repeat_block(const RefinementTask& task) override;
    void work_on_block(const RefinementTask& task) override;
    [[nodiscard]] bool is_of_this_chain(const RefinementTask& task) const override;

    /// Inputs of a step whose units can be solved at the same time: none reads what another makes.
    struct Group {
        std::vector<Signal> inputs;
        bool writes = false;  ///< what the units make is added to the stream
    };
    /// The groups of a step in the order in which they run.
    [[nodiscard]] static std::vector<Group> groups_of(const ModelSpec& spec, std::size_t step);
    using Shifts = std::map<Signal, InputShift>;
    /// The weights of a block as the source has them and as they are by now.
    struct Models {
        const LoadedWeights& source;
        const LoadedWeights& current;
    };

    [[nodiscard]] LoadedWeights load(const WeightSource& weights) const;
    /// Both streams pass a step.
    void advance(const WeightSource& weights);
    /// The units to be refined here that read one of the signals.
    [[nodiscard]] std::vector<std::size_t> units_of(const RefinementTask& task,
                                                    const std::vector<Signal>& inputs) const;
    void refine_group(const RefinementTask& task, const Group& group, PartlyRefined& weights);
    void refine_head(const RefinementTask& task, PartlyRefined& weights);
    /// Adds a batch to the shifts of a step's inputs.
    void compare(const Group& group, const Models& models, const SequenceRange& batch,
                 Shifts& shifts) const;

    const ModelSpec& spec_;
    SourceWeights source_;
    ForwardPass forward_;
    std::string name_;
    ResidualStream source_stream_;
    ResidualStream stream_;
    TokenWeights token_weights_;   ///< at the block, if the job weighs tokens
    kernels::Array<float> trial_;  ///< of a batch
};

}  // namespace lathe
