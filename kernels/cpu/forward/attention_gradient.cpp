#include <algorithm>
#include <limits>

#include "kernels/cpu/common/blas.hpp"
#include "kernels/cpu/common/scratch.hpp"
#include "kernels/cpu/common/vector_clones.hpp"
#include "kernels/cpu/forward/attention.hpp"
#include "kernels/cpu/forward/cpu_gradients.hpp"

// A key-value head of a sequence is one thread's: it walks over the queries that read it, a block
// at a time, and makes the block's weights again, so that memory grows with the length of a
// sequence and not with its square.

namespace lathe::kernels {
namespace {

using blas::Transpose;

/// Queries of a block.
constexpr std::size_t query_block = 128;

/// Turns dp into ds = p (dp - sum p dp), row by row.
LATHE_VECTOR_CLONES
void score_gradients(const float* p, std::size_t n, float* dp) {
    LaneSums mean{};
    const std::size_t whole = n / sum_lanes * sum_lanes;
    for (std::size_t first = 0; first < whole; first += sum_lanes) {
#pragma omp simd
        for (std::size_t lane = 0; lane < sum_lanes; ++lane) {
            const std::size_t j = first + lane;
            mean[lane] += static_cast<double>(p[j]) * static_cast<double>(dp[j]);
        }
    }
    for (std::size_t j = whole; j < n; ++j) {
        mean[j - whole] += static_cast<double>(p[j]) * static_cast<double>(dp[j]);
    }
    const auto level = static_cast<float>(total(mean));
    for (std::size_t j = 0; j < n; ++j) {
        dp[j] = p[j] * (dp[j] - level);
    }
}

/// What one key-value head of a sequence reads and writes. [n_keys, head_dim]
struct KeyValueHead {
    MatrixView<const float> k;
    MatrixView<const float> v;
    MatrixView<float> dk;
    MatrixView<float> dv;
};

/// The queries [first, first + n_queries) of one head of a sequence.
struct QueryBlock {
    const AttentionProblem& problem;
    const AttentionSequence& sequence;
    std::size_t head;
    std::size_t first;
    MatrixView<const float> q;
    MatrixView<const float> dy;
    MatrixView<float> dq;

    void run(const KeyValueHead& at) const {
        const VectorKernels& kernels = problem.kernels;
        const float scale = problem.shape.scale;
        // The last query of a block sees furthest, the first furthest back.
        const KeyRange seen{visible_keys(problem.shape, sequence, first).begin,
                            visible_keys(problem.shape, sequence, first + q.rows - 1).end};
        const std::size_t n = seen.end - seen.begin;
        const std::size_t width = kernels.panel_width;
        const std::size_t stride = (n + width - 1) / width * width;
        thread_local Scratch scratch;
        float* memory = scratch.floats(2 * q.rows * stride);
        const MatrixView<float> p(memory, q.rows, n, stride);
        const MatrixView<float> ds(memory + q.rows * stride, q.rows, n, stride);
        const MatrixView<const float> k = at.k.row_range(seen.begin, n);
        const MatrixView<const float> v = at.v.row_range(seen.begin, n);

        blas::gemm(Transpose::no, Transpose::yes, scale, q, k, 0.0F, p);
        blas::gemm(Transpose::no, Transpose::yes, 1.0F, dy, v, 0.0F, ds);
        for (std::size_t i = 0; i < q.rows; ++i) {
            const KeyRange own = visible_keys(problem.shape, sequence, first + i);
            float maximum = -std::numeric_limits<float>::infinity();
            float total = 0.0F;
            problem.add_slope(head, own, seen.begin, n, p.row(i));
            kernels.softmax_step(p.row(i), stride, own.begin - seen.begin, own.end - seen.begin,
                                 &maximum, &total);
            kernels.scale(p.row(i), 1.0F / total, n, p.row(i));
            score_gradients(p.row(i), n, ds.row(i));
        }
        blas::gemm(Transpose::yes, Transpose::no, 1.0F, p, dy, 1.0F,
                   at.dv.row_range(seen.begin, n));
        blas::gemm(Transpose::no, Transpose::no, scale, ds, k, 0.0F, dq);
        blas::gemm(Transpose::yes, Transpose::no, scale, ds, q, 1.0F,
                   at.dk.row_range(seen.begin, n));
    }
};

void clear(MatrixView<float> x) {
    for (std::size_t i = 0; i < x.rows; ++i) {
        std::fill_n(x.row(i), x.cols, 0.0F);
    }
}

}  // namespace

void CpuGradients::do_attention(MatrixView<const float> q, MatrixView<const float> k,
                                MatrixView<const float> v, const AttentionShape& shape,
                                MatrixView<const float> dy, MatrixView<float> dq,
                                MatrixView<float> dk, MatrixView<float> dv) const {
    const AttentionProblem problem{q, k, v, {}, shape};
    const std::vector<AttentionSequence> sequences = sequences_of(shape);
    const std::size_t d = shape.head_dim;
    const std::size_t group = shape.n_heads / shape.n_kv_heads;
    pool_.for_each(sequences.size() * shape.n_kv_heads, [&](std::size_t task) {
        const AttentionSequence& sequence = sequences[task / shape.n_kv_heads];
        const std::size_t kv = task % shape.n_kv_heads;
        const auto keys_of = [&](auto x) {
            return x.row_range(sequence.first_key, sequence.n_keys).col_range(kv * d, d);
        };
        const KeyValueHead at{keys_of(k), keys_of(v), keys_of(dk), keys_of(dv)};
        clear(at.dk);
        clear(at.dv);
        for (std::size_t head = kv * group; head < (kv + 1) * group; ++head) {
            for (std::size_t i = 0; i < sequence.n_queries; i += query_block) {
                const std::size_t n = std::min(query_block, sequence.n_queries - i);
                const auto queries_of = [&](auto x) {
                    return x.row_range(sequence.first_query + i, n).col_range(head * d, d);
                };
                QueryBlock{problem,       sequence,       head,          i,
                           queries_of(q), queries_of(dy), queries_of(dq)}
                    .run(at);
            }
        }
    });
}

}  // namespace lathe::kernels
