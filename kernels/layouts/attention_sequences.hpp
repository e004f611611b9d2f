#pragma once

#include <cstddef>
#include <vector>

#include "kernels/contract/forward_kernels.hpp"

// Where an AttentionShape says that sequences lie, and which keys their queries see.

namespace lathe::kernels {

/// Where the rows of a sequence lie; its queries are the last of its positions.
struct AttentionSequence {
    std::size_t first_query;
    std::size_t n_queries;
    std::size_t first_key;
    std::size_t n_keys;

    /// Of query i in the sequence.
    [[nodiscard]] std::size_t position(std::size_t i) const { return n_keys - n_queries + i; }
};

/// The keys [begin, end) that a query sees.
struct KeyRange {
    std::size_t begin;
    std::size_t end;
};

[[nodiscard]] inline std::vector<AttentionSequence> sequences_of(const AttentionShape& shape) {
    std::vector<AttentionSequence> sequences;
    std::size_t query = 0;
    std::size_t key = 0;
    for (std::size_t s = 0; s < shape.n_sequences; ++s) {
        const bool own_length = !shape.lengths.empty();
        const std::size_t n_queries = own_length ? shape.lengths[s] : shape.query_length;
        const std::size_t n_keys = own_length ? shape.lengths[s] : shape.key_length;
        sequences.push_back({query, n_queries, key, n_keys});
        query += n_queries;
        key += n_keys;
    }
    return sequences;
}

/// What query i of the sequence sees.
[[nodiscard]] inline KeyRange visible_keys(const AttentionShape& shape,
                                           const AttentionSequence& sequence, std::size_t i) {
    const std::size_t end = shape.causal ? sequence.position(i) + 1 : sequence.n_keys;
    return {shape.window > 0 && end > shape.window ? end - shape.window : 0, end};
}

}  // namespace lathe::kernels
