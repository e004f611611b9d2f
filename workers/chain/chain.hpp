#pragma once

#include <functional>
#include <string>
#include <vector>

#include "workers/chain/sample_share.hpp"
#include "workers/chain/store_pace.hpp"
#include "workers/chain/stream_files.hpp"
#include "workers/job/job_context.hpp"
#include "workers/network/residual_stream.hpp"

namespace lathe {

/// What a rank holds in memory from one task of a stage to the next.
class StageMemory {
public:
    virtual ~StageMemory() = default;
    /// Whether no task of the stage can follow.
    [[nodiscard]] virtual bool has_ended() const { return false; }
};

/// What all chains do alike, whatever their tasks are told.
class ChainBase : public StageMemory {
public:
    ChainBase(const ChainBase&) = delete;
    ChainBase& operator=(const ChainBase&) = delete;
    [[nodiscard]] bool has_ended() const final { return block_ > n_blocks_; }

protected:
    /// @pre  `context` outlives the object
    ChainBase(const JobContext& context, const StoredStreams& stored);

    [[nodiscard]] const JobContext& context() const { return context_; }
    [[nodiscard]] const kernels::Backend& backend() const { return context_.backend(); }
    [[nodiscard]] const SampleShare& share() const { return share_; }
    [[nodiscard]] const TokenSequences& samples() const { return share_.samples(); }
    /// The block that the streams stand before; n_blocks: what follows the blocks.
    [[nodiscard]] std::size_t block() const { return block_; }
    [[nodiscard]] bool is_behind_blocks() const { return block_ == n_blocks_; }
    /// A step of that block, counted through the whole model: the boundary before it.
    [[nodiscard]] std::size_t boundary(std::size_t step) const {
        return block_ * context_.spec().steps_per_block() + step;
    }
    /// "block_0003", "head".
    [[nodiscard]] std::string place() const;

    /// A stream of this rank's samples. @pre  `forward` outlives it
    [[nodiscard]] ResidualStream make_stream(ForwardPass& forward) const {
        return {forward, share_.samples(), share_.batches(), folder_};
    }
    /// Fills the streams, from files if the first task says that they are there, else by `embed`.
    /// To be called at the end of a derived class's constructor. @pre  the streams are its members
    void begin(std::vector<ResidualStream*> streams, const std::function<void()>& embed);
    /// @throws DataError  naming the place and, as in "of the sliced model", whose stream it is
    void require_finite(const ResidualStream& stream, const std::string& whose) const;

private:
    template <class Task>
    friend class Chain;

    /// Stores the streams before the block that comes next, if it is time to.
    void store_streams();

    const JobContext& context_;
    std::size_t n_blocks_;
    SampleShare share_;
    StoredStreams stored_;          ///< where the chain began
    std::filesystem::path folder_;  ///< of streams in files; empty: they are in memory
    std::vector<ResidualStream*> streams_;
    std::vector<std::size_t> stored_blocks_;  ///< before which this chain stored its streams
    StorePace pace_;
    std::size_t block_ = 0;
};

/// A chain of tasks for all ranks (lib/job/task.hpp, all_ranks): one for each block in the order of
/// the model and one for what follows the blocks, each of which needs the streams that the one
/// before leaves. A chain object has gone some way; a derived class says what is done at a block,
/// and its constructor calls begin(). `Task` has members `block` and `streams`, a StoredStreams.
///
/// Every rank holds the streams of its share of the samples and has sums over all of them from
/// SampleShare; rank 0 writes what is found.
template <class Task>
class Chain : public ChainBase {
public:
    using ChainBase::ChainBase;

    /// Whether the task lies ahead. If not, another chain has to begin: also after a task that
    /// failed, which may have moved some batches of a stream and not others.
    [[nodiscard]] bool leads_to(const Task& task) const {
        return !has_failed_ && block_ <= task.block && is_of_this_chain(task);
    }

    /// Passes the blocks before the task's, which are finished, and works on that one.
    /// @pre  leads_to(task), and all ranks call it
    /// @throws DataError  activations that are not finite, naming the place
    /// @throws StoppedError  if another rank gave up
    void run(const Task& task) {
        has_failed_ = true;
        for (; block_ < task.block; ++block_) {
            repeat_block(task);
        }
        work_on_block(task);
        ++block_;
        store_streams();
        has_failed_ = false;
    }

protected:
    /// Passes a block whose artifact is there.
    virtual void repeat_block(const Task& task) = 0;
    /// Makes the artifact of a block and passes it.
    virtual void work_on_block(const Task& task) = 0;
    [[nodiscard]] virtual bool is_of_this_chain(const Task& /*task*/) const { return true; }

private:
    bool has_failed_ = false;
};

}  // namespace lathe
