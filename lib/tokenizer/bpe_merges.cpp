#include "lib/tokenizer/bpe_merges.hpp"

#include <algorithm>
#include <bit>
#include <limits>

namespace lathe::tokenizer {
namespace {

constexpr std::uint32_t nothing = std::numeric_limits<std::uint32_t>::max();
// No pair: ids stay far below 2^32 - 1.
constexpr std::uint64_t empty_slot = std::numeric_limits<std::uint64_t>::max();

std::uint64_t pair_of(std::uint32_t left, std::uint32_t right) {
    return std::uint64_t{left} << 32 | right;
}

}  // namespace

MergeTable::MergeTable(std::size_t n_merges)
    : slots_(std::bit_ceil(2 * n_merges + 1), Slot{empty_slot, {}}) {}

std::size_t MergeTable::slot_of(std::uint64_t pair) const {
    const std::size_t mask = slots_.size() - 1;
    const std::uint64_t hash = pair * 0x9E3779B97F4A7C15ULL;  // Fibonacci hashing
    std::size_t slot = (hash ^ hash >> 32) & mask;
    while (slots_[slot].pair != pair && slots_[slot].pair != empty_slot) slot = (slot + 1) & mask;
    return slot;
}

void MergeTable::add(std::uint32_t left, std::uint32_t right, Merge merge) {
    const std::uint64_t pair = pair_of(left, right);
    slots_[slot_of(pair)] = {pair, merge};
}

const MergeTable::Merge* MergeTable::find(std::uint32_t left, std::uint32_t right) const {
    const Slot& slot = slots_[slot_of(pair_of(left, right))];
    return slot.pair == empty_slot ? nullptr : &slot.merge;
}

void Merger::load(std::span<const std::uint32_t> symbols) {
    const auto count = static_cast<std::uint32_t>(symbols.size());
    nodes_.clear();
    for (std::uint32_t i = 0; i < count; ++i) {
        nodes_.push_back(
            {symbols[i], i == 0 ? nothing : i - 1, i + 1 < count ? i + 1 : nothing, false});
    }
}

namespace {
/// For the heap functions, whose top is the largest: `a` comes after `b`.
template <class Step>
bool comes_after(const Step& a, const Step& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
}
}  // namespace

void Merger::propose(std::uint32_t position) {
    const Node& node = nodes_[position];
    if (node.next == nothing) return;
    const MergeTable::Merge* merge = table_.find(node.symbol, nodes_[node.next].symbol);
    if (merge == nullptr) return;
    steps_.push_back({merge->rank, position, merge->result});
    std::push_heap(steps_.begin(), steps_.end(), comes_after<Step>);
}

void Merger::apply(const Step& step) {
    Node& node = nodes_[step.position];
    if (node.is_gone || node.next == nothing) return;
    Node& right = nodes_[node.next];
    // A step is out of date when a neighbour has changed since; the pair then gives another result.
    const MergeTable::Merge* merge = table_.find(node.symbol, right.symbol);
    if (merge == nullptr || merge->result != step.result) return;

    node.symbol = step.result;
    node.next = right.next;
    right.is_gone = true;
    if (node.next != nothing) nodes_[node.next].previous = step.position;
    if (node.previous != nothing) propose(node.previous);
    propose(step.position);
}

void Merger::merge(std::span<const std::uint32_t> symbols, std::vector<std::uint32_t>& ids) {
    load(symbols);
    steps_.clear();
    for (std::uint32_t i = 0; i < nodes_.size(); ++i) propose(i);
    while (!steps_.empty()) {
        std::pop_heap(steps_.begin(), steps_.end(), comes_after<Step>);
        const Step step = steps_.back();
        steps_.pop_back();
        apply(step);
    }
    for (std::uint32_t i = nodes_.empty() ? nothing : 0; i != nothing; i = nodes_[i].next) {
        ids.push_back(nodes_[i].symbol);
    }
}

}  // namespace lathe::tokenizer
