#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "kernels/cpu/common/scratch.hpp"
#include "kernels/cpu/forward/attention.hpp"
#include "lib/core/parallel.hpp"

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

std::size_t round_up(std::size_t n, std::size_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

/// Floats of the packed keys, and of the packed values, of one key-value head of a sequence.
struct PackedSizes {
    std::size_t keys;
    std::size_t values;

    PackedSizes(const AttentionProblem& problem, const AttentionSequence& sequence)
        : keys(round_up(sequence.n_keys, problem.kernels.panel_width) * problem.shape.head_dim),
          values(round_up(problem.shape.head_dim, problem.kernels.panel_width) * sequence.n_keys) {}
};

/// The keys and values of one head of one sequence as panels. Keys: for each panel_width keys a
/// panel [head_dim][panel_width]. Values: for each panel_width columns a panel
/// [n_keys][panel_width].
class PackedHead {
public:
    PackedHead(const AttentionProblem& problem, const AttentionSequence& sequence,
               std::size_t kv_head, float* memory)
        : keys_(memory), values_(memory + PackedSizes(problem, sequence).keys) {
        const auto& [q, k, v, y, shape, kernels] = problem;
        const std::size_t d = shape.head_dim;
        const std::size_t width = kernels.panel_width;
        for (std::size_t j = 0; j < sequence.n_keys; j += width) {
            kernels.pack_transposed(k.row(sequence.first_key + j) + kv_head * d, k.stride,
                                    std::min(width, sequence.n_keys - j), d, keys_ + j * d);
        }
        for (std::size_t i = 0; i < d; i += width) {
            kernels.pack(v.row(sequence.first_key) + kv_head * d + i, v.stride,
                         std::min(width, d - i), sequence.n_keys, values_ + i * sequence.n_keys);
        }
        if (!kernels.all_finite(values_, PackedSizes(problem, sequence).values)) {
            set_aside(problem, sequence, v.col_range(kv_head * d, d));
        }
    }

    [[nodiscard]] const float* keys() const { return keys_; }
    [[nodiscard]] const float* values() const { return values_; }

    /// Gives a row that sees the keys `seen` what was set aside of their values.
    void add_aside(const KeyRange& seen, float* row) const {
        for (const Aside& aside : aside_) {
            if (aside.key >= seen.begin && aside.key < seen.end) {
                row[aside.column] += aside.value;
            }
        }
    }

private:
    /// A value that is not finite. A product with the weight 0 of a key that a query must not see
    /// would be NaN, so the panels hold 0 in its place.
    struct Aside {
        std::size_t key;
        std::size_t column;
        float value;
    };

    void set_aside(const AttentionProblem& problem, const AttentionSequence& sequence,
                   MatrixView<const float> v) {
        const std::size_t width = problem.kernels.panel_width;
        for (std::size_t key = 0; key < sequence.n_keys; ++key) {
            for (std::size_t i = 0; i < v.cols; ++i) {
                const float value = v(sequence.first_key + key, i);
                if (!std::isfinite(value)) {
                    aside_.push_back({key, i, value});
                    values_[i / width * width * sequence.n_keys + key * width + i % width] = 0.0F;
                }
            }
        }
    }

    float* keys_;
    float* values_;
    std::vector<Aside> aside_;
};

/// A tile of queries of one head, and what it has summed so far.
class QueryTile {
public:
    QueryTile(const AttentionProblem& problem, const AttentionSequence& sequence, std::size_t head,
              std::size_t first, std::size_t n_queries, const PackedHead& packed)
        : problem_(problem),
          sequence_(sequence),
          head_(head),
          query_row_(sequence.first_query + first),
          column_(head * problem.shape.head_dim),
          first_(first),
          n_queries_(n_queries),
          packed_(packed),
          padded_dim_(round_up(problem.shape.head_dim, problem.kernels.panel_width)) {
        thread_local Scratch scratch;
        const std::size_t height = problem.kernels.panel_height;
        const std::size_t n_sums = n_queries * padded_dim_;
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
        const KeyRange all{visible_keys(0).begin, visible_keys(n_queries_ - 1).end};
        const std::size_t height = problem_.kernels.panel_height;
        for (std::size_t key = all.begin / key_block * key_block; key < all.end; key += key_block) {
            for (std::size_t i = 0; i < n_queries_; i += height) {
                take_block(i, std::min(height, n_queries_ - i), key);
            }
        }
        for (std::size_t i = 0; i < n_queries_; ++i) {
            float* y = problem_.y.row(query_row_ + i) + column_;
            problem_.kernels.scale(sums_ + i * padded_dim_, 1.0F / totals_[i],
                                   problem_.shape.head_dim, y);
            packed_.add_aside(visible_keys(i), y);
        }
    }

private:
    [[nodiscard]] KeyRange visible_keys(std::size_t i) const {
        return kernels::visible_keys(problem_.shape, sequence_, first_ + i);
    }

    /// Adds the keys of the block that starts at `key` to queries i .. i + n.
    void take_block(std::size_t i, std::size_t n, std::size_t key) {
        const KeyRange seen{visible_keys(i).begin, visible_keys(i + n - 1).end};
        if (seen.end <= key || seen.begin >= key + key_block) {
            return;
        }
        const VectorKernels& kernels = problem_.kernels;
        const std::size_t width = kernels.panel_width;
        const std::size_t n_keys = std::min(key_block, seen.end - key);
        const std::size_t n_scores = round_up(n_keys, width);

        multiply_keys(i, n, key, n_scores);
        for (std::size_t r = 0; r < n; ++r) {
            const KeyRange row = visible_keys(i + r);
            float* scores = scores_ + r * packed_stride;
            problem_.add_slope(head_, row, key, n_scores, scores);
            const std::size_t begin = std::clamp(row.begin, key, key + n_scores) - key;
            const std::size_t end = std::clamp(row.end, key, key + n_scores) - key;
            const float factor = kernels.softmax_step(scores, n_scores, begin, end, maxima_ + i + r,
                                                      totals_ + i + r);
            float* sum = sums_ + (i + r) * padded_dim_;
            if (factor != 1.0F) {
                kernels.scale(sum, factor, padded_dim_, sum);
            }
        }
        for (std::size_t j = 0; j < padded_dim_; j += width) {
            kernels.multiply(n, n_keys, scores_,
                             packed_.values() + j * sequence_.n_keys + key * width,
                             sums_ + i * padded_dim_ + j, padded_dim_, true, sums_, 0);
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
                                 packed_.keys() + (key + j) * d + depth * kernels.panel_width,
                                 scores_ + j, packed_stride, depth > 0, scores_, 0);
            }
        }
    }

    const AttentionProblem& problem_;
    const AttentionSequence& sequence_;
    std::size_t head_;
    std::size_t query_row_;
    std::size_t column_;
    std::size_t first_;
    std::size_t n_queries_;
    const PackedHead& packed_;
    std::size_t padded_dim_;
    float* sums_;     ///< [n_queries, padded_dim]
    float* queries_;  ///< [panel_height, packed_stride], scaled
    float* scores_;   ///< [panel_height, packed_stride]
    float* maxima_;   ///< [n_queries]
    float* totals_;   ///< [n_queries]
};

}  // namespace

std::size_t AttentionProblem::packed_size(const AttentionSequence& sequence) const {
    const PackedSizes sizes(*this, sequence);
    return shape.n_kv_heads * (sizes.keys + sizes.values);
}

void attend_packed(ThreadPool& pool, const AttentionProblem& problem,
                   std::span<const AttentionSequence> sequences) {
    const AttentionShape& shape = problem.shape;
    std::vector<std::size_t> offsets;
    std::size_t size = 0;
    for (const AttentionSequence& sequence : sequences) {
        offsets.push_back(size);
        size += problem.packed_size(sequence);
    }
    thread_local Scratch scratch;
    float* memory = scratch.floats(size);
    std::vector<std::optional<PackedHead>> packed(sequences.size() * shape.n_kv_heads);
    pool.for_each(packed.size(), [&](std::size_t i) {
        const AttentionSequence& sequence = sequences[i / shape.n_kv_heads];
        const std::size_t head = i % shape.n_kv_heads;
        const std::size_t head_size = problem.packed_size(sequence) / shape.n_kv_heads;
        packed[i].emplace(problem, sequence, head,
                          memory + offsets[i / shape.n_kv_heads] + head * head_size);
    });

    struct Tile {
        std::size_t sequence;
        std::size_t head;
        std::size_t first;
    };
    const std::size_t height = panels_per_tile * problem.kernels.panel_height;
    std::vector<Tile> tiles;
    for (std::size_t s = 0; s < sequences.size(); ++s) {
        const std::size_t n_tiles = (sequences[s].n_queries + height - 1) / height;
        for (std::size_t head = 0; head < shape.n_heads; ++head) {
            // Late queries see the most keys: they come first, so that threads end together.
            for (std::size_t i = n_tiles; i-- > 0;) {
                tiles.push_back({s, head, i * height});
            }
        }
    }
    pool.for_each(tiles.size(), [&](std::size_t i) {
        const auto& [s, head, first] = tiles[i];
        QueryTile(problem, sequences[s], head, first,
                  std::min(height, sequences[s].n_queries - first),
                  *packed[s * shape.n_kv_heads + problem.kv_head(head)])
            .run();
    });
}

}  // namespace lathe::kernels
