#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace lathe::tokenizer {

/// The merges of byte-pair encoding: which two neighbouring symbols become one, and in which order.
class MergeTable {
public:
    struct Merge {
        std::uint32_t rank;    ///< lower ranks are done first
        std::uint32_t result;  ///< id of the new symbol
    };

    /// Room for `n_merges`; add() no more.
    explicit MergeTable(std::size_t n_merges);

    /// Of two merges of the same pair the later one counts.
    void add(std::uint32_t left, std::uint32_t right, Merge merge);
    /// None if the pair is never merged.
    [[nodiscard]] const Merge* find(std::uint32_t left, std::uint32_t right) const;

private:
    struct Slot {
        std::uint64_t pair;
        Merge merge;
    };
    [[nodiscard]] std::size_t slot_of(std::uint64_t pair) const;

    std::vector<Slot> slots_;  // open addressing, at most half full
};

/// Applies merges to words. It keeps its memory from word to word; one for each thread.
class Merger {
public:
    explicit Merger(const MergeTable& table) : table_(table) {}

    /// Merges until no pair of neighbours is in the table, lowest rank first, leftmost first among
    /// equals; appends what is left to `ids`. Cost: n log n.
    void merge(std::span<const std::uint32_t> symbols, std::vector<std::uint32_t>& ids);

private:
    struct Node {
        std::uint32_t symbol;
        std::uint32_t previous;  // indices of neighbours that are left, or `nothing`
        std::uint32_t next;
        bool is_gone;
    };
    struct Step {
        std::uint32_t rank;
        std::uint32_t position;
        std::uint32_t result;
    };
    void load(std::span<const std::uint32_t> symbols);
    void propose(std::uint32_t position);
    void apply(const Step& step);

    const MergeTable& table_;
    std::vector<Node> nodes_;
    std::vector<Step> steps_;  // a heap
};

}  // namespace lathe::tokenizer
