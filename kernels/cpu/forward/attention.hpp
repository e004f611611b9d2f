#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "kernels/contract/backend.hpp"
#include "kernels/cpu/common/vector_kernels.hpp"
#include "kernels/layouts/attention_sequences.hpp"
#include "lib/core/parallel.hpp"

// What the ways to compute attention share: attention_packed.cpp for many queries of a sequence,
// attention.cpp for few, attention_gradient.cpp for its derivatives.

namespace lathe::kernels {

/// Everything a call works with.
struct AttentionProblem {
    MatrixView<const float> q;
    MatrixView<const float> k;
    MatrixView<const float> v;
    MatrixView<float> y;
    AttentionShape shape;
    const VectorKernels& kernels = vector_kernels();

    [[nodiscard]] std::size_t kv_head(std::size_t head) const {
        return head / (shape.n_heads / shape.n_kv_heads);
    }

    /// With slopes: adds the head's slope times the distance to the scores of the keys `first`,
    /// `first` + 1, ... of a query that sees `seen`. Distances are counted from the key that gains
    /// most, which changes all scores by the same amount and so no weight: what is added to scores
    /// that weigh anything stays small and keeps its digits.
    void add_slope(std::size_t head, const KeyRange& seen, std::size_t first, std::size_t n_scores,
                   float* scores) const;

    /// Floats that the packed keys and values of a sequence take.
    [[nodiscard]] std::size_t packed_size(const AttentionSequence& sequence) const;
};

/// Attention of sequences whose packed keys and values may take memory at the same time.
void attend_packed(ThreadPool& pool, const AttentionProblem& problem,
                   std::span<const AttentionSequence> sequences);

}  // namespace lathe::kernels
