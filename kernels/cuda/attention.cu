#include <algorithm>
#include <vector>

#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/device_only.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/layouts/attention_sequences.hpp"

// Attention that never stores a matrix of scores: keys pass by in tiles, and the sum over those
// seen so far is scaled down whenever a larger score comes up. fp32 throughout.
// Source: Dao et al. 2022 (FlashAttention), arXiv:2205.14135, algorithm 1.

namespace lathe::kernels {

using cuda::Call;
using cuda::View;

namespace {

constexpr unsigned tile_queries = 64;
constexpr unsigned tile_keys = 32;
/// Threads are 16 x 16: thread (ty, tx) has queries 4 ty .. 4 ty + 3, of the scores keys tx and
/// tx + 16, of the output columns tx, tx + 16, ...
constexpr unsigned side = 16;
constexpr unsigned own_queries = tile_queries / side;
constexpr unsigned own_keys = tile_keys / side;
/// Scores of a row lie this far apart in shared memory.
constexpr unsigned score_stride = tile_keys + 1;

/// Up to tile_queries queries of one sequence.
struct QueryTile {
    std::size_t first_row;  ///< of q and y
    std::size_t n_rows;
    std::size_t first_position;  ///< in the sequence
    std::size_t first_key_row;   ///< of k and v: that of the sequence's first key
    std::size_t n_keys;          ///< of the sequence
};

/// The keys [begin, end) of a sequence that a query sees.
struct Seen {
    std::size_t begin;
    std::size_t end;

    __device__ bool has(std::size_t key) const { return key >= begin && key < end; }
    /// slope * distance, counted from the key that it favours most: what is the same for all keys
    /// does not change the weights, and the digits are where the large weights are.
    __device__ float slope_at(std::size_t key, float slope) const {
        const std::size_t favoured = slope < 0.0F ? begin : end - 1;
        return slope * (static_cast<float>(key) - static_cast<float>(favoured));
    }
};

struct Arguments {
    View<const float> q;
    View<const float> k;
    View<const float> v;
    View<float> y;
    const QueryTile* tiles;
    const float* slopes;  ///< of each head, or null
    std::size_t heads_per_kv_head;
    std::size_t head_dim;
    std::size_t window;
    float scale;
    bool causal;

    __device__ Seen seen_by(const QueryTile& tile, std::size_t position) const {
        const std::size_t end = causal ? position + 1 : tile.n_keys;
        return {window > 0 && end > window ? end - window : 0, end};
    }
};

/// What the threads of a block share of a tile, d = head_dim.
struct Tile {
    float* queries;     ///< [tile_queries, d + 1]
    float* keys;        ///< [tile_keys, d + 1]
    float* values;      ///< [tile_keys, d]
    float* scores;      ///< [tile_queries, score_stride]
    float* correction;  ///< [tile_queries] what the sums so far are multiplied by
    float* row_sum;     ///< [tile_queries]
    std::size_t d;
    QueryTile at;
    std::size_t q_col;   ///< of q and y: the head's first column
    std::size_t kv_col;  ///< of k and v
    float slope;

    __device__ Tile(float* shared, const Arguments& a)
        : queries(shared),
          keys(queries + tile_queries * (a.head_dim + 1)),
          values(keys + tile_keys * (a.head_dim + 1)),
          scores(values + tile_keys * a.head_dim),
          correction(scores + tile_queries * score_stride),
          row_sum(correction + tile_queries),
          d(a.head_dim),
          at(a.tiles[blockIdx.x]),
          q_col(blockIdx.y * d),
          kv_col(blockIdx.y / a.heads_per_kv_head * d),
          slope(a.slopes == nullptr ? 0.0F : a.slopes[blockIdx.y]) {}
};

std::size_t shared_bytes(std::size_t head_dim) {
    return (tile_queries * (head_dim + 1) + tile_keys * (head_dim + 1) + tile_keys * head_dim +
            tile_queries * score_stride + 2 * tile_queries) *
           sizeof(float);
}

__device__ void load_queries(const Arguments& a, const Tile& tile) {
    const std::size_t d = tile.d;
    for (std::size_t i = threadIdx.x; i < tile_queries * d; i += side * side) {
        const std::size_t r = i / d;
        const std::size_t c = i % d;
        tile.queries[r * (d + 1) + c] =
            r < tile.at.n_rows ? a.q(tile.at.first_row + r, tile.q_col + c) : 0.0F;
    }
}

__device__ void load_keys_and_values(const Arguments& a, const Tile& tile, std::size_t key0) {
    const std::size_t d = tile.d;
    for (std::size_t i = threadIdx.x; i < tile_keys * d; i += side * side) {
        const std::size_t r = i / d;
        const std::size_t c = i % d;
        const bool there = key0 + r < tile.at.n_keys;
        const std::size_t row = tile.at.first_key_row + key0 + r;
        tile.keys[r * (d + 1) + c] = there ? a.k(row, tile.kv_col + c) : 0.0F;
        tile.values[r * d + c] = there ? a.v(row, tile.kv_col + c) : 0.0F;
    }
}

/// This thread's scores; -infinity where a query does not see a key.
__device__ void write_scores(const Arguments& a, const Tile& tile, std::size_t key0) {
    const unsigned tx = threadIdx.x % side;
    const unsigned ty = threadIdx.x / side;
    float dots[own_queries][own_keys] = {};
    for (std::size_t c = 0; c < tile.d; ++c) {
        float own_q[own_queries];
        float own_k[own_keys];
#pragma unroll
        for (unsigned i = 0; i < own_queries; ++i) {
            own_q[i] = tile.queries[(ty * own_queries + i) * (tile.d + 1) + c];
        }
#pragma unroll
        for (unsigned j = 0; j < own_keys; ++j) {
            own_k[j] = tile.keys[(tx + j * side) * (tile.d + 1) + c];
        }
#pragma unroll
        for (unsigned i = 0; i < own_queries; ++i) {
#pragma unroll
            for (unsigned j = 0; j < own_keys; ++j) {
                dots[i][j] = fmaf(own_q[i], own_k[j], dots[i][j]);
            }
        }
    }
#pragma unroll
    for (unsigned i = 0; i < own_queries; ++i) {
        const unsigned r = ty * own_queries + i;
        const Seen seen = a.seen_by(tile.at, tile.at.first_position + r);
#pragma unroll
        for (unsigned j = 0; j < own_keys; ++j) {
            const std::size_t key = key0 + tx + j * side;
            tile.scores[r * score_stride + tx + j * side] =
                seen.has(key) && r < tile.at.n_rows
                    ? fmaf(dots[i][j], a.scale, seen.slope_at(key, tile.slope))
                    : -INFINITY;
        }
    }
}

/// The running maximum and sum of a row, which thread r < tile_queries keeps of row r.
struct RunningRow {
    float largest = -INFINITY;
    float sum = 0.0F;

    /// Makes weights of the row's scores, on the scale of the largest score by now.
    __device__ void take_tile(const Arguments& a, const Tile& tile, std::size_t key0) {
        const unsigned r = threadIdx.x;
        float* const row = tile.scores + r * score_stride;
        float top = largest;
        for (unsigned j = 0; j < tile_keys; ++j) {
            top = fmaxf(top, row[j]);
        }
        // Nothing seen yet: weights 0, and the sums of 0 stay what they are.
        const float shift = top == -INFINITY ? 0.0F : top;
        tile.correction[r] = expf(largest - shift);
        float added = 0.0F;
        const Seen seen = a.seen_by(tile.at, tile.at.first_position + r);
        for (unsigned j = 0; j < tile_keys; ++j) {
            const bool counts = seen.has(key0 + j) && r < tile.at.n_rows;
            row[j] = counts ? expf(row[j] - shift) : 0.0F;
            added += row[j];
        }
        sum = fmaf(sum, tile.correction[r], added);
        largest = top;
        tile.row_sum[r] = sum;
    }
};

/// This thread's part of the output: columns tx, tx + 16, ... of its queries.
template <unsigned columns>
struct OwnOutput {
    float of[own_queries][columns] = {};

    __device__ void add_tile(const Tile& tile) {
        const unsigned tx = threadIdx.x % side;
        const unsigned ty = threadIdx.x / side;
#pragma unroll
        for (unsigned i = 0; i < own_queries; ++i) {
            const float old = tile.correction[ty * own_queries + i];
#pragma unroll
            for (unsigned c = 0; c < columns; ++c) {
                of[i][c] *= old;
            }
        }
        for (unsigned key = 0; key < tile_keys; ++key) {
            float weight[own_queries];
#pragma unroll
            for (unsigned i = 0; i < own_queries; ++i) {
                weight[i] = tile.scores[(ty * own_queries + i) * score_stride + key];
            }
#pragma unroll
            for (unsigned c = 0; c < columns; ++c) {
                const std::size_t col = tx + c * side;
                const float value = col < tile.d ? tile.values[key * tile.d + col] : 0.0F;
#pragma unroll
                for (unsigned i = 0; i < own_queries; ++i) {
                    // A key that is not seen has weight 0, and its value may be NaN.
                    of[i][c] = weight[i] != 0.0F ? fmaf(weight[i], value, of[i][c]) : of[i][c];
                }
            }
        }
    }

    __device__ void write(const Arguments& a, const Tile& tile) const {
        const unsigned tx = threadIdx.x % side;
        const unsigned ty = threadIdx.x / side;
#pragma unroll
        for (unsigned i = 0; i < own_queries; ++i) {
            const unsigned r = ty * own_queries + i;
            if (r >= tile.at.n_rows) {
                continue;
            }
#pragma unroll
            for (unsigned c = 0; c < columns; ++c) {
                const std::size_t col = tx + c * side;
                if (col < tile.d) {
                    a.y(tile.at.first_row + r, tile.q_col + col) = of[i][c] / tile.row_sum[r];
                }
            }
        }
    }
};

/// columns: 16 * columns >= head_dim.
template <unsigned columns>
__global__ void __launch_bounds__(side* side) attention_kernel(Arguments a) {
    const Tile tile(cuda::dynamic_shared<float>(), a);
    load_queries(a, tile);
    RunningRow row;
    OwnOutput<columns> output;
    const QueryTile& at = tile.at;
    const std::size_t end = a.seen_by(at, at.first_position + at.n_rows - 1).end;
    const std::size_t begin = a.seen_by(at, at.first_position).begin / tile_keys * tile_keys;
    for (std::size_t key0 = begin; key0 < end; key0 += tile_keys) {
        __syncthreads();  // the tile before is done with
        load_keys_and_values(a, tile, key0);
        __syncthreads();
        write_scores(a, tile, key0);
        __syncthreads();
        if (threadIdx.x < tile_queries) {
            row.take_tile(a, tile, key0);
        }
        __syncthreads();
        output.add_tile(tile);
    }
    output.write(a, tile);
}

std::vector<QueryTile> tiles_of(const AttentionShape& shape, std::size_t height) {
    std::vector<QueryTile> tiles;
    for (const AttentionSequence& s : sequences_of(shape)) {
        for (std::size_t i = 0; i < s.n_queries; i += height) {
            tiles.push_back({s.first_query + i, std::min(height, s.n_queries - i), s.position(i),
                             s.first_key, s.n_keys});
        }
    }
    return tiles;
}

/// Heads too wide for the tiles' shared memory: a warp for each query and head, the output in
/// place.
void attend_wide(const Call& call, const Arguments& arguments, std::size_t n_queries,
                 std::size_t n_heads) {
    const Arguments a = arguments;
    cuda::for_each_warp(call, n_queries * n_heads, [=] __device__(std::size_t i, unsigned lane) {
        const QueryTile tile = a.tiles[i / n_heads];
        const std::size_t head = i % n_heads;
        const std::size_t kv_col = head / a.heads_per_kv_head * a.head_dim;
        const float slope = a.slopes == nullptr ? 0.0F : a.slopes[head];
        const float* const query = a.q.row(tile.first_row) + head * a.head_dim;
        float* const output = a.y.row(tile.first_row) + head * a.head_dim;
        const Seen seen = a.seen_by(tile, tile.first_position);
        for (std::size_t c = lane; c < a.head_dim; c += cuda::warp_size) {
            output[c] = 0.0F;
        }
        float largest = -INFINITY;
        float sum = 0.0F;
        for (std::size_t key = seen.begin; key < seen.end; ++key) {
            const float* const k = a.k.row(tile.first_key_row + key) + kv_col;
            const float* const v = a.v.row(tile.first_key_row + key) + kv_col;
            float dot = 0.0F;
            for (std::size_t c = lane; c < a.head_dim; c += cuda::warp_size) {
                dot = fmaf(query[c], k[c], dot);
            }
            const float score = fmaf(cuda::warp_sum(dot), a.scale, seen.slope_at(key, slope));
            const float top = fmaxf(largest, score);
            const float shift = top == -INFINITY ? 0.0F : top;
            const float old = expf(largest - shift);
            const float weight = expf(score - shift);
            sum = fmaf(sum, old, weight);
            largest = top;
            for (std::size_t c = lane; c < a.head_dim; c += cuda::warp_size) {
                output[c] = fmaf(weight, v[c], output[c] * old);
            }
        }
        for (std::size_t c = lane; c < a.head_dim; c += cuda::warp_size) {
            output[c] /= sum;
        }
    });
}

template <unsigned columns>
void launch(const Call& call, const Arguments& arguments, std::size_t n_tiles,
            std::size_t n_heads) {
    const std::size_t bytes = shared_bytes(arguments.head_dim);
    cuda::check(
        cudaFuncSetAttribute(attention_kernel<columns>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(bytes)),
        "cudaFuncSetAttribute");
    const dim3 grid(static_cast<unsigned>(n_tiles), static_cast<unsigned>(n_heads));
    cuda::launch(call, attention_kernel<columns>, grid, side * side, bytes, arguments);
}

}  // namespace

void CudaBackend::do_attention(MatrixView<const float> q, MatrixView<const float> k,
                               MatrixView<const float> v, const AttentionShape& shape,
                               MatrixView<float> y) const {
    constexpr std::size_t widest_tiled_head = 256;
    const bool is_wide = shape.head_dim > widest_tiled_head;
    Call call(*context_);
    const std::vector<QueryTile> tiles = tiles_of(shape, is_wide ? 1 : tile_queries);
    const Arguments arguments{call.in(q),
                              call.in(k),
                              call.in(v),
                              call.inout(y),
                              call.in(std::span<const QueryTile>(tiles)),
                              shape.alibi_slopes.empty() ? nullptr : call.in(shape.alibi_slopes),
                              shape.n_heads / shape.n_kv_heads,
                              shape.head_dim,
                              shape.window,
                              shape.scale,
                              shape.causal};
    if (shape.head_dim <= 64) {
        launch<4>(call, arguments, tiles.size(), shape.n_heads);
    } else if (shape.head_dim <= 128) {
        launch<8>(call, arguments, tiles.size(), shape.n_heads);
    } else if (!is_wide) {
        launch<16>(call, arguments, tiles.size(), shape.n_heads);
    } else {
        attend_wide(call, arguments, tiles.size(), shape.n_heads);
    }
    call.finish();
}

}  // namespace lathe::kernels
