#pragma once

#include <span>
#include <vector>

#include "kernels/contract/backend.hpp"
#include "lib/comm/communicator.hpp"
#include "workers/chain/shared_sums.hpp"
#include "workers/samples/token_data.hpp"

namespace lathe {

/// A rank's share of the calibration samples, for tasks that all ranks run together
/// (lib/job/task.hpp, all_ranks): each holds the streams of its own samples, and has sums over all
/// of them, the same bits on every rank and on any number of ranks.
///
/// The batches of all samples form parts, whose number does not depend on the ranks; a share is a
/// run of parts. The sums over a part are made by the rank that has it. They are added up in the
/// order of a binary tree over the parts, as far as that goes where they are, the rest on rank 0,
/// which sends the total back.
class SampleShare {
public:
    /// @pre  `world` outlives the object
    SampleShare(comm::Communicator& world, const TokenSequences& all);
    SampleShare(const SampleShare&) = delete;
    SampleShare& operator=(const SampleShare&) = delete;

    [[nodiscard]] const TokenSequences& samples() const { return samples_; }
    /// Its batches, by their places in samples().
    [[nodiscard]] const std::vector<SequenceRange>& batches() const { return batches_; }
    /// Batches of all samples, and the number of one of batches() among them.
    [[nodiscard]] std::size_t n_batches() const { return n_batches_; }
    [[nodiscard]] std::size_t number_of(const SequenceRange& batch) const;
    /// Those of a part, and the part's number among the parts of all ranks.
    struct Part {
        std::size_t number = 0;
        std::span<const SequenceRange> batches;
    };
    [[nodiscard]] const std::vector<Part>& parts() const { return parts_; }
    /// Parts that samples have, whatever the ranks.
    [[nodiscard]] static std::size_t n_parts(const TokenSequences& all);
    /// Tokens of the largest batch; 0 if there is none.
    [[nodiscard]] std::size_t most_tokens() const;
    /// Whether this rank writes what the ranks find together.
    [[nodiscard]] bool leads() const { return world_.rank() == 0; }

    /// Sums over the samples of all ranks. `make()` gives empty ones, add(sums, batch) adds one of
    /// batches(). What they have is said in shared_sums.hpp. A rank holds a few of them at a time:
    /// one that it makes, and one for each power of two of its parts; others come in pieces.
    /// @pre  all ranks call it, in the same order
    /// @throws StoppedError  if another rank gave up
    template <class Make, class Add>
    [[nodiscard]] auto add_up(const Make& make, const Add& add) const {
        SumTree<decltype(make())> tree;
        for (const Part& part : parts_) {
            auto sums = make();
            for (const SequenceRange& batch : part.batches) {
                add(sums, batch);
            }
            tree.add({part.number, 1}, std::move(sums));
        }
        if (!leads()) {
            for (auto& node : tree.nodes()) {
                send_sums(0, node.sums);
            }
            tree.nodes().clear();
            auto total = make();
            take_sums(0, total);
            return total;
        }
        for (int rank = 1; rank < world_.size(); ++rank) {
            for (const SumNode& node : nodes_of(first_part(rank), first_part(rank + 1))) {
                if (auto* const left = tree.left_of(node)) {
                    take_sums(rank, *left);
                    tree.took(node);
                } else {
                    auto sums = make();
                    take_sums(rank, sums);
                    tree.add(node, std::move(sums));
                }
            }
        }
        tree.finish();
        auto total = tree.nodes().empty() ? make() : std::move(tree.nodes().front().sums);
        for (int rank = 1; rank < world_.size(); ++rank) {
            send_sums(rank, total);
        }
        return total;
    }

    /// Rank 0's answer, on every rank. The same conditions as for add_up().
    [[nodiscard]] bool as_rank_0_says(bool answer) const;

private:
    [[nodiscard]] std::size_t first_part(int rank) const;
    template <class Sums>
    void send_sums(int to, Sums& sums) const {
        const std::vector<double> shape = sums.shape();
        send_arrays(world_, to, shape, sums.arrays(shape));
    }
    template <class Sums>
    void take_sums(int from, Sums& sums) const {
        receive_and_add(world_, from, sums.arrays(receive_numbers(world_, from)));
    }

    comm::Communicator& world_;
    std::size_t n_parts_ = 0;  ///< of all ranks
    TokenSequences samples_;
    std::size_t n_batches_ = 0;    ///< of all samples
    std::size_t first_batch_ = 0;  ///< among those
    std::vector<SequenceRange> batches_;
    std::vector<Part> parts_;  ///< of batches_
};

/// Tells the ranks that wait for this one's sums, or for the total, that they will not come.
void give_up_share(comm::Communicator& world);

/// Does this rank's work on a task for all ranks; if it throws, the others are told.
template <class Work>
auto with_all_ranks(comm::Communicator& world, const Work& work) {
    try {
        return work();
    } catch (...) {
        give_up_share(world);
        throw;
    }
}

}  // namespace lathe
