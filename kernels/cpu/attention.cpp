#include <algorithm>
#include <limits>

#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/cpu/scratch.hpp"
#include "kernels/cpu/vector_kernels.hpp"

// Attention by tiles with a running softmax: a tile of queries passes over the keys in blocks and
// never holds more than one block of scores. Keys and values are packed into panels first, once for
// all heads and queries that read them.

namespace lathe::kernels {
namespace {

/// Keys in one step of the running softmax; a multiple of all panel widths.
constexpr std::size_t key_block = 256;
static_assert(key_block <= depth_block);
/// Panels of queries in a tile: as many as share a block of keys while it is in the cache.
constexpr std::size_t panels_per_tile = 8;
/// Fewer queries than this in a sequence are not worth packing the keys for.
constexpr std::size_t min_packed_queries = 4;
/// Heads that one pass over the keys serves, at most.
constexpr std::size_t heads_per_pass = 8;
/// Floats that packed keys and values may take (128 MiB); sequences beyond it wait for their turn.
constexpr std::size_t packed_limit = std::size_t{1} << 25;

std::size_t round_up(std::size_t n, std::size_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

/// The keys [begin, end) that a query sees.
struct Range {
    std::size_t begin;
    std::size_t end;
};

Range visible_keys(const AttentionShape& shape, std::size_t query) {
    const std::size_t position = shape.key_length - shape.query_length + query;
    const std::size_t end = shape.causal ? position + 1 : shape.key_length;
    return {shape.window > 0 && end > shape.window ? end - shape.window : 0, end};
}

/// Everything a call works with.
struct Problem {
    MatrixView<const float> q;
    MatrixView<const float> k;
    MatrixView<const float> v;
    MatrixView<float> y;
    AttentionShape shape;
    const VectorKernels& kernels = vector_kernels();

    [[nodiscard]] std::size_t kv_head(std::size_t head) const {
        return head / (shape.n_heads / shape.n_kv_heads);
    }
    [[nodiscard]] std::size_t padded_dim() const {
        return round_up(shape.head_dim, kernels.panel_width);
    }
    /// Floats of the packed keys, and of the packed values, of one head of one sequence.
    [[nodiscard]] std::size_t packed_keys_size() const {
        return round_up(shape.key_length, kernels.panel_width) * shape.head_dim;
    }
    [[nodiscard]] std::size_t packed_values_size() const { return shape.key_length * padded_dim(); }
};

/// Keys: for each panel_width keys a panel [head_dim][panel_width]. Values: for each panel_width
/// columns a panel [key_length][panel_width].
void pack_keys_and_values(const Problem& problem, std::size_t sequence, std::size_t kv_head,
                          float* keys, float* values) {
    const auto& [q, k, v, y, shape, kernels] = problem;
    const std::size_t d = shape.head_dim;
    const std::size_t width = kernels.panel_width;
    const std::size_t first = sequence * shape.key_length;
    for (std::size_t j = 0; j < shape.key_length; j += width) {
        kernels.pack_transposed(k.row(first + j) + kv_head * d, k.stride,
                                std::min(width, shape.key_length - j), d, keys + j * d);
    }
    for (std::size_t i = 0; i < d; i += width) {
        kernels.pack(v.row(first) + kv_head * d + i, v.stride, std::min(width, d - i),
                     shape.key_length, values + i * shape.key_length);
    }
}

/// A tile of queries of one head, and what it has summed so far.
class QueryTile {
public:
    QueryTile(const Problem& problem, std::size_t sequence, std::size_t head, std::size_t first,
              std::size_t n_queries, const float* keys, const float* values)
        : problem_(problem),
          query_row_(sequence * problem.shape.query_length + first),
          column_(head * problem.shape.head_dim),
          first_(first),
          n_queries_(n_queries),
          keys_(keys),
          values_(values) {
        thread_local Scratch scratch;
        const std::size_t height = problem.kernels.panel_height;
        const std::size_t n_sums = n_queries * problem.padded_dim();
        sums_ = scratch.floats(2 * height * packed_stride + n_sums + 2 * n_queries);
        queries_ = sums_ + n_sums;
        scores_ = queries_ + height * packed_stride;
        maxima_ = scores_ + height * packed_stride;
        totals_ = maxima_ + n_queries;
        std::fill_n(sums_, n_sums, 0.0F);
        std::fill_n(maxima_, n_queries, -std::numeric_limits<float>::infinity());
        std::fill_n(totals_, n_queries, 0.0F);
    }

    void run() {
        const Range all{visible_keys(problem_.shape, first_).begin,
                        visible_keys(problem_.shape, first_ + n_queries_ - 1).end};
        const std::size_t height = problem_.kernels.panel_height;
        for (std::size_t key = all.begin / key_block * key_block; key < all.end; key += key_block) {
            for (std::size_t i = 0; i < n_queries_; i += height) {
                take_block(i, std::min(height, n_queries_ - i), key);
            }
        }
        for (std::size_t i = 0; i < n_queries_; ++i) {
            problem_.kernels.scale(sums_ + i * problem_.padded_dim(), 1.0F / totals_[i],
                                   problem_.shape.head_dim,
                                   problem_.y.row(query_row_ + i) + column_);
        }
    }

private:
    /// Adds the keys of the block that starts at `key` to queries i .. i + n.
    void take_block(std::size_t i, std::size_t n, std::size_t key) {
        const Range seen{visible_keys(problem_.shape, first_ + i).begin,
                         visible_keys(problem_.shape, first_ + i + n - 1).end};
        if (seen.end <= key || seen.begin >= key + key_block) {
            return;
        }
        const VectorKernels& kernels = problem_.kernels;
        const std::size_t width = kernels.panel_width;
        const std::size_t n_keys = std::min(key_block, seen.end - key);
        const std::size_t n_scores = round_up(n_keys, width);

        multiply_keys(i, n, key, n_scores);
        for (std::size_t r = 0; r < n; ++r) {
            const Range row = visible_keys(problem_.shape, first_ + i + r);
            const std::size_t begin = std::clamp(row.begin, key, key + n_scores) - key;
            const std::size_t end = std::clamp(row.end, key, key + n_scores) - key;
            const float factor = kernels.softmax_step(scores_ + r * packed_stride, n_scores, begin,
                                                      end, maxima_ + i + r, totals_ + i + r);
            float* sum = sums_ + (i + r) * problem_.padded_dim();
            if (factor != 1.0F) {
                kernels.scale(sum, factor, problem_.padded_dim(), sum);
            }
        }
        for (std::size_t j = 0; j < problem_.padded_dim(); j += width) {
            kernels.multiply(n, n_keys, scores_,
                             values_ + j * problem_.shape.key_length + key * width,
                             sums_ + i * problem_.padded_dim() + j, problem_.padded_dim(), true);
        }
    }

    /// scores = scale * q @ k^T.
    void multiply_keys(std::size_t i, std::size_t n, std::size_t key, std::size_t n_scores) {
        const VectorKernels& kernels = problem_.kernels;
        const std::size_t d = problem_.shape.head_dim;
        for (std::size_t depth = 0; depth < d; depth += depth_block) {
            const std::size_t n_depth = std::min(depth_block, d - depth);
            for (std::size_t r = 0; r < n; ++r) {
                kernels.scale(problem_.q.row(query_row_ + i + r) + column_ + depth,
                              problem_.shape.scale, n_depth, queries_ + r * packed_stride);
            }
            for (std::size_t j = 0; j < n_scores; j += kernels.panel_width) {
                kernels.multiply(n, n_depth, queries_,
                                 keys_ + (key + j) * d + depth * kernels.panel_width, scores_ + j,
                                 packed_stride, depth > 0);
            }
        }
    }

    const Problem& problem_;
    std::size_t query_row_;
    std::size_t column_;
    std::size_t first_;
    std::size_t n_queries_;
    const float* keys_;
    const float* values_;
    float* sums_;     ///< [n_queries, padded_dim]
    float* queries_;  ///< [panel_height, packed_stride], scaled
    float* scores_;   ///< [panel_height, packed_stride]
    float* maxima_;   ///< [n_queries]
    float* totals_;   ///< [n_queries]
};

/// Many queries: sequences [begin, end).
void attend_packed(ThreadPool& pool, const Problem& problem, std::size_t begin, std::size_t end) {
    const AttentionShape& shape = problem.shape;
    const std::size_t keys_size = problem.packed_keys_size();
    const std::size_t pair_size = keys_size + problem.packed_values_size();
    thread_local Scratch scratch;
    float* packed = scratch.floats((end - begin) * shape.n_kv_heads * pair_size);
    const auto pair = [&](std::size_t sequence, std::size_t kv_head) {
        return packed + ((sequence - begin) * shape.n_kv_heads + kv_head) * pair_size;
    };
    pool.for_each((end - begin) * shape.n_kv_heads, [&](std::size_t i) {
        const std::size_t sequence = begin + i / shape.n_kv_heads;
        float* keys = pair(sequence, i % shape.n_kv_heads);
        pack_keys_and_values(problem, sequence, i % shape.n_kv_heads, keys, keys + keys_size);
    });

    const std::size_t height = panels_per_tile * problem.kernels.panel_height;
    const std::size_t tiles_per_head = (shape.query_length + height - 1) / height;
    pool.for_each((end - begin) * shape.n_heads * tiles_per_head, [&](std::size_t i) {
        // Late queries see the most keys: they come first, so that threads end together.
        const std::size_t first = (tiles_per_head - 1 - i % tiles_per_head) * height;
        const std::size_t head = i / tiles_per_head % shape.n_heads;
        const std::size_t sequence = begin + i / tiles_per_head / shape.n_heads;
        const float* keys = pair(sequence, problem.kv_head(head));
        QueryTile(problem, sequence, head, first, std::min(height, shape.query_length - first),
                  keys, keys + keys_size)
            .run();
    });
}

/// Few queries, as in generation: heads [first_head, first_head + n_heads) of one query, which
/// share a key-value head, in one pass over the keys where they lie.
void attend_query(const Problem& problem, std::size_t row, std::size_t first_head,
                  std::size_t n_heads) {
    const auto& [q, k, v, y, shape, kernels] = problem;
    const std::size_t d = shape.head_dim;
    const std::size_t first_key = row / shape.query_length * shape.key_length;
    const std::size_t column = problem.kv_head(first_head) * d;
    const Range seen = visible_keys(shape, row % shape.query_length);
    const std::size_t n_keys = seen.end - seen.begin;
    const std::size_t n_scores = round_up(n_keys, kernels.panel_width);
    thread_local Scratch scratch;
    float* scores = scratch.floats(n_heads * n_scores);

    kernels.multiply_few(q.row(row) + first_head * d, d, n_heads,
                         k.row(first_key + seen.begin) + column, k.stride, n_keys, d, scores,
                         n_scores);
    for (std::size_t h = 0; h < n_heads; ++h) {
        float* p = scores + h * n_scores;
        float maximum = -std::numeric_limits<float>::infinity();
        float total = 0.0F;
        kernels.scale(p, shape.scale, n_keys, p);
        kernels.softmax_step(p, n_scores, 0, n_keys, &maximum, &total);
        kernels.scale(p, 1.0F / total, n_keys, p);
        kernels.weighted_sum(p, v.row(first_key + seen.begin) + column, v.stride, n_keys, d,
                             y.row(row) + (first_head + h) * d);
    }
}

void attend_few(ThreadPool& pool, const Problem& problem) {
    const std::size_t heads_per_kv = problem.shape.n_heads / problem.shape.n_kv_heads;
    const std::size_t passes = (heads_per_kv + heads_per_pass - 1) / heads_per_pass;
    const std::size_t per_row = problem.shape.n_kv_heads * passes;
    pool.for_each(problem.q.rows * per_row, [&](std::size_t i) {
        const std::size_t kv_head = i % per_row / passes;
        const std::size_t first = i % passes * heads_per_pass;
        attend_query(problem, i / per_row, kv_head * heads_per_kv + first,
                     std::min(heads_per_pass, heads_per_kv - first));
    });
}

}  // namespace

void CpuBackend::do_attention(MatrixView<const float> q, MatrixView<const float> k,
                              MatrixView<const float> v, const AttentionShape& shape,
                              MatrixView<float> y) const {
    const Problem problem{q, k, v, y, shape};
    if (shape.query_length < min_packed_queries) {
        return attend_few(pool_, problem);
    }
    const std::size_t sequence_size =
        shape.n_kv_heads * (problem.packed_keys_size() + problem.packed_values_size());
    const std::size_t step = std::max<std::size_t>(1, packed_limit / sequence_size);
    for (std::size_t begin = 0; begin < shape.n_sequences; begin += step) {
        attend_packed(pool_, problem, begin, std::min(shape.n_sequences, begin + step));
    }
}

}  // namespace lathe::kernels
