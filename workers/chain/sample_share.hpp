#pragma once

#include <span>
#include <vector>

#include "kernels/contract/backend.hpp"
#include "lib/comm/communicator.hpp"
#include "workers/samples/token_data.hpp"

namespace lathe {

/// A rank's share of the calibration samples, for tasks that all ranks run together
/// (lib/job/task.hpp, all_ranks): each holds the streams of its own samples, and has sums over all
/// of them, the same bits on every rank and on any number of ranks.
///
/// The batches of all samples form parts, whose number does not depend on the ranks; a share is a
/// run of parts. The sums over a part are made by the rank that has it, added up on rank 0 in the
/// order of the parts, and sent back.
class SampleShare {
public:
    /// @pre  `world` outlives the object
    SampleShare(comm::Communicator& world, const TokenSequences& all);
    SampleShare(const SampleShare&) = delete;
    SampleShare& operator=(const SampleShare&) = delete;

    [[nodiscard]] const TokenSequences& samples() const { return samples_; }
    /// Its batches, by their places in samples().
    [[nodiscard]] const std::vector<SequenceRange>& batches() const { return batches_; }
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
    /// batches(). They have sums.values(), a list that is not empty, and sums.add_values(list).
    /// @pre  all ranks call it, in the same order
    /// @throws StoppedError  if another rank gave up
    template <class Make, class Add>
    [[nodiscard]] auto add_up(const Make& make, const Add& add) const {
        const auto values_of = [&](std::span<const SequenceRange> part) {
            auto sums = make();
            for (const SequenceRange& batch : part) {
                add(sums, batch);
            }
            return sums.values();
        };
        auto total = make();
        for (const Part& part : parts_) {
            if (leads()) {
                total.add_values(values_of(part.batches));
            } else {
                send(0, values_of(part.batches));
            }
        }
        if (!leads()) {
            total.add_values(receive(0));
            return total;
        }
        for (int rank = 1; rank < world_.size(); ++rank) {
            for (std::size_t p = first_part(rank); p < first_part(rank + 1); ++p) {
                total.add_values(receive(rank));
            }
        }
        for (int rank = 1; rank < world_.size(); ++rank) {
            send(rank, total.values());
        }
        return total;
    }

    /// Rank 0's answer, on every rank. The same conditions as for add_up().
    [[nodiscard]] bool as_rank_0_says(bool answer) const;

private:
    [[nodiscard]] std::size_t first_part(int rank) const;
    void send(int to, const std::vector<double>& values) const;
    [[nodiscard]] std::vector<double> receive(int from) const;

    comm::Communicator& world_;
    std::size_t n_parts_ = 0;  ///< of all ranks
    TokenSequences samples_;
    std::vector<SequenceRange> batches_;
    std::vector<Part> parts_;  ///< of batches_
};

/// sums += values, row after row; `sums` in backend memory, the values on the host.
void add_values_to(MatrixView<double> sums, std::span<const double> values,
                   const kernels::Backend& backend);
void add_values_to(MatrixView<float> sums, std::span<const double> values,
                   const kernels::Backend& backend);

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
