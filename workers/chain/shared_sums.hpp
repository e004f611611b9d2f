#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "kernels/contract/memory.hpp"
#include "lib/comm/communicator.hpp"

namespace lathe {

/// One array of sums over samples. A class of sums has two functions,
///   std::vector<double> shape() const        what arrays it has; never empty
///   std::vector<SumArray> arrays(shape)      those of sums with that shape, zeros where it had
///   none
/// and then sums of other samples can be added, array by array, from here or from another rank, a
/// few MiB at a time. That no rank ever holds more than one copy beside its own is the point.
struct SumArray {
    enum class Kind { sum, minimum, maximum };
    std::variant<std::span<float>, std::span<double>> values;
    Kind kind = Kind::sum;
    const kernels::Memory* memory = nullptr;  ///< whose it is; null: the host's
};

/// Adds arrays of the same shape. @throws InternalError  if they are not
void add_arrays(const std::vector<SumArray>& sums, const std::vector<SumArray>& more);

/// sums += more
template <class Sums>
void add_sums(Sums& sums, Sums& more) {
    const std::vector<double> shape = more.shape();
    add_arrays(sums.arrays(shape), more.arrays(shape));
}

/// Sums on their way from one rank to another, in pieces of 4 MiB. The receiver says when one has
/// arrived, so that no more than two of them are under way.
/// @throws StoppedError  if the other rank gave up
void send_arrays(comm::Communicator& world, int to, const std::vector<double>& shape,
                 const std::vector<SumArray>& arrays);
[[nodiscard]] std::vector<double> receive_numbers(comm::Communicator& world, int from);
void send_numbers(comm::Communicator& world, int to, const std::vector<double>& numbers);
void receive_and_add(comm::Communicator& world, int from, const std::vector<SumArray>& sums);

/// Sums over a run of parts of the samples.
struct SumNode {
    std::size_t first = 0;  ///< part
    std::size_t count = 0;  ///< a power of two that divides `first`

    /// Whether the next node belongs to the same one of twice as many parts.
    [[nodiscard]] bool is_left_of(const SumNode& next) const {
        return count == next.count && first % (2 * count) == 0 && next.first == first + count;
    }
};

/// Adds up parts 0, 1, ... in the order of a binary tree over their numbers. So sums over runs of
/// parts can be made anywhere: what is added to what depends on the numbers alone. It holds at most
/// one node of each size.
template <class Sums>
class SumTree {
public:
    /// @pre  it comes right after those that are there
    void add(SumNode node, Sums&& sums) {
        nodes_.push_back({node, std::move(sums)});
        join();
    }
    /// The sums that a node is added to as they are; null: it stays by itself at first.
    [[nodiscard]] Sums* left_of(const SumNode& node) {
        return !nodes_.empty() && nodes_.back().place.is_left_of(node) ? &nodes_.back().sums
                                                                       : nullptr;
    }
    /// After its values have been added to what left_of() gave.
    void took(const SumNode& node) {
        nodes_.back().place.count += node.count;
        join();
    }
    struct Node {
        SumNode place;
        Sums sums;
    };
    [[nodiscard]] std::vector<Node>& nodes() { return nodes_; }
    /// Adds up what is left, the smaller to the larger; one node remains, or none.
    void finish() {
        while (nodes_.size() > 1) {
            take_last();
        }
    }

private:
    void join() {
        while (nodes_.size() > 1 &&
               nodes_[nodes_.size() - 2].place.is_left_of(nodes_.back().place)) {
            take_last();
        }
    }
    void take_last() {
        Node& left = nodes_[nodes_.size() - 2];
        add_sums(left.sums, nodes_.back().sums);
        left.place.count += nodes_.back().place.count;
        nodes_.pop_back();
    }

    std::vector<Node> nodes_;
};

/// The nodes that remain of parts [begin, end).
[[nodiscard]] std::vector<SumNode> nodes_of(std::size_t begin, std::size_t end);

}  // namespace lathe
