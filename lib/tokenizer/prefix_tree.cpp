#include "lib/tokenizer/prefix_tree.hpp"

#include <algorithm>
#include <numeric>

namespace lathe::tokenizer {
namespace {

/// The strings [begin, end) of the sorted order that go through a node at this depth.
struct Range {
    std::uint32_t node;
    std::size_t begin;
    std::size_t end;
    std::size_t depth;
};

}  // namespace

PrefixTree::PrefixTree(const std::vector<std::string>& strings) : nodes_(1) {
    std::vector<std::uint32_t> order(strings.size());
    std::iota(order.begin(), order.end(), 0U);
    std::ranges::stable_sort(order, {},
                             [&](std::uint32_t i) { return std::string_view(strings[i]); });

    // Breadth first, so that the children of a node follow one another.
    std::vector<Range> ranges{{0, 0, order.size(), 0}};
    for (std::size_t r = 0; r < ranges.size(); ++r) {
        const Range range = ranges[r];
        std::size_t i = range.begin;
        for (; i < range.end && strings[order[i]].size() == range.depth; ++i) {
            if (range.depth > 0) nodes_[range.node].number = order[i];
        }
        nodes_[range.node].first_child = static_cast<std::uint32_t>(nodes_.size());
        while (i < range.end) {
            const auto byte = static_cast<unsigned char>(strings[order[i]][range.depth]);
            const std::size_t begin = i;
            while (i < range.end &&
                   static_cast<unsigned char>(strings[order[i]][range.depth]) == byte) {
                ++i;
            }
            ranges.push_back(
                {static_cast<std::uint32_t>(nodes_.size()), begin, i, range.depth + 1});
            nodes_.push_back({0, 0, byte, none});
            ++nodes_[range.node].n_children;
        }
    }
}

std::uint32_t PrefixTree::child(std::uint32_t node, unsigned char byte) const {
    const auto begin = nodes_.begin() + nodes_[node].first_child;
    const auto end = begin + nodes_[node].n_children;
    const auto found = std::lower_bound(
        begin, end, byte, [](const Node& child, unsigned char b) { return child.byte < b; });
    return found == end || found->byte != byte ? none
                                               : static_cast<std::uint32_t>(found - nodes_.begin());
}

}  // namespace lathe::tokenizer
