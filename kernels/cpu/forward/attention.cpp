#include "kernels/cpu/forward/attention.hpp"

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/cpu/common/scratch.hpp"
#include "kernels/cpu/cpu_backend.hpp"

namespace lathe::kernels {
namespace {

/// Fewer queries than this in a sequence are not worth packing the keys for.
constexpr std::size_t min_packed_queries = 4;
/// Heads that one pass over the keys serves, at most.
constexpr std::size_t heads_per_pass = 8;
/// Floats that packed keys and values may take (128 MiB); sequences beyond it wait for their turn.
constexpr std::size_t packed_limit = std::size_t{1} << 25;

/// Few queries, as in generation: heads [first_head, first_head + n_heads) of one query, which
/// share a key-value head, in one pass over the keys where they lie.
void attend_query(const AttentionProblem& problem, const AttentionSequence& sequence,
                  std::size_t query, std::size_t first_head, std::size_t n_heads) {
    const auto& [q, k, v, y, shape, kernels] = problem;
    const std::size_t d = shape.head_dim;
    const std::size_t row = sequence.first_query + query;
    const std::size_t column = problem.kv_head(first_head) * d;
    const KeyRange seen = visible_keys(problem.shape, sequence, query);
    const std::size_t first_key = sequence.first_key + seen.begin;
    const std::size_t n_keys = seen.end - seen.begin;
    const std::size_t width = kernels.panel_width;
    const std::size_t n_scores = (n_keys + width - 1) / width * width;
    thread_local Scratch scratch;
    float* scores = scratch.floats(n_heads * n_scores);

    kernels.multiply_few(q.row(row) + first_head * d, d, n_heads, k.row(first_key) + column,
                         k.stride, n_keys, d, scores, n_scores);
    for (std::size_t h = 0; h < n_heads; ++h) {
        float* p = scores + h * n_scores;
        float maximum = -std::numeric_limits<float>::infinity();
        float total = 0.0F;
        kernels.scale(p, shape.scale, n_keys, p);
        problem.add_slope(first_head + h, seen, seen.begin, n_keys, p);
        kernels.softmax_step(p, n_scores, 0, n_keys, &maximum, &total);
        kernels.scale(p, 1.0F / total, n_keys, p);
        kernels.weighted_sum(p, v.row(first_key) + column, v.stride, n_keys, d,
                             y.row(row) + (first_head + h) * d);
    }
}

void attend_few(ThreadPool& pool, const AttentionProblem& problem,
                std::span<const AttentionSequence> sequences) {
    struct Row {
        const AttentionSequence* sequence;
        std::size_t query;
    };
    std::vector<Row> rows;
    for (const AttentionSequence& sequence : sequences) {
        for (std::size_t i = 0; i < sequence.n_queries; ++i) {
            rows.push_back({&sequence, i});
        }
    }
    const std::size_t heads_per_kv = problem.shape.n_heads / problem.shape.n_kv_heads;
    const std::size_t passes = (heads_per_kv + heads_per_pass - 1) / heads_per_pass;
    const std::size_t per_row = problem.shape.n_kv_heads * passes;
    pool.for_each(rows.size() * per_row, [&](std::size_t i) {
        const auto& [sequence, query] = rows[i / per_row];
        const std::size_t kv_head = i % per_row / passes;
        const std::size_t first = i % passes * heads_per_pass;
        attend_query(problem, *sequence, query, kv_head * heads_per_kv + first,
                     std::min(heads_per_pass, heads_per_kv - first));
    });
}

}  // namespace

void AttentionProblem::add_slope(std::size_t head, const KeyRange& seen, std::size_t first,
                                 std::size_t n_scores, float* scores) const {
    if (shape.alibi_slopes.empty()) {
        return;
    }
    const float slope = shape.alibi_slopes[head];
    const std::size_t origin = slope > 0.0F ? seen.end - 1 : seen.begin;
    kernels.add_ramp(scores, slope, static_cast<float>(first) - static_cast<float>(origin),
                     n_scores);
}

void CpuBackend::do_attention(MatrixView<const float> q, MatrixView<const float> k,
                              MatrixView<const float> v, const AttentionShape& shape,
                              MatrixView<float> y) const {
    const AttentionProblem problem{q, k, v, y, shape};
    std::vector<AttentionSequence> sequences = sequences_of(shape);
    // The longest first, so that threads end together.
    std::stable_sort(sequences.begin(), sequences.end(),
                     [](const auto& a, const auto& b) { return a.n_queries > b.n_queries; });
    const auto few = std::find_if(sequences.begin(), sequences.end(),
                                  [](const auto& s) { return s.n_queries < min_packed_queries; });
    for (auto begin = sequences.begin(); begin != few;) {
        auto end = begin;
        std::size_t size = 0;
        do {
            size += problem.packed_size(*end);
            ++end;
        } while (end != few && size + problem.packed_size(*end) <= packed_limit);
        attend_packed(pool_, problem, {begin, end});
        begin = end;
    }
    attend_few(pool_, problem, {few, sequences.end()});
}

}  // namespace lathe::kernels
