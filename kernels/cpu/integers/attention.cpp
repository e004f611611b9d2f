#include <algorithm>

#include "kernels/cpu/integers/block_loops.hpp"
#include "kernels/cpu/integers/cpu_integers.hpp"
#include "kernels/cpu/integers/integer_panels.hpp"
#include "kernels/layouts/integer_attention.hpp"

namespace lathe::kernels {
namespace {

using BlockNumbers = fixed_point::BlockNumbers<ClonedLoops>;
using fixed_point::keys_per_block;
using fixed_point::ScoreScale;
using fixed_point::SoftmaxRow;

constexpr std::size_t queries_per_tile = 48;

/// A head of the keys of one sequence, in panels for both products.
struct HeadOfKeys {
    RowPanels keys;    ///< rows are keys, columns places in the head
    RowPanels values;  ///< rows are places in the head, columns keys
    std::vector<int> key_shifts;
    std::vector<std::int8_t> value_shifts;

    HeadOfKeys(const BlockedMatrix& k, const BlockedMatrix& v, const AttentionSequence& sequence,
               std::size_t head, std::size_t d)
        : keys(sequence.n_keys, d), values(d, sequence.n_keys) {
        for (std::size_t j = 0; j < sequence.n_keys; ++j) {
            const std::size_t row = sequence.first_key + j;
            const std::int8_t* key = k.narrow.data() + row * k.cols + head * d;
            const std::int8_t* value = v.narrow.data() + row * v.cols + head * d;
            for (std::size_t c = 0; c < d; ++c) {
                keys.set(j, c, key[c]);
                values.set(c, j, value[c]);
            }
            key_shifts.push_back(k.shift(row, head * d));
            value_shifts.push_back(static_cast<std::int8_t>(v.shift(row, head * d)));
        }
    }
};

/// One head of some queries of a sequence.
class HeadOfQueries {
public:
    HeadOfQueries(const AttentionShape& shape, const ScoreScale& scale,
                  const AttentionSequence& sequence, std::size_t head, std::size_t begin,
                  std::size_t count)
        : shape_(shape),
          scale_(scale),
          sequence_(sequence),
          head_(head),
          begin_(begin),
          count_(count),
          n_rows_((sequence.n_keys + integer_panel_rows - 1) / integer_panel_rows *
                  integer_panel_rows) {}

    void run(const BlockedMatrix& q, const HeadOfKeys& own, BlockedMatrix& y) const {
        const std::vector<std::int64_t> products = multiply_keys(q, own);
        TokenRows weights(count_, sequence_.n_keys,
                          column_pieces(sequence_.n_keys, keys_per_block, keys_per_block));
        std::vector<SoftmaxRow> rows(count_);
        for (std::size_t i = 0; i < count_; ++i) {
            take_softmax(q, own, products.data() + i * n_rows_, i, rows[i]);
            write_weights(rows[i], i, weights);
        }
        mix_values(own, weights, rows, y);
    }

private:
    [[nodiscard]] std::size_t query_row(std::size_t i) const {
        return sequence_.first_query + begin_ + i;
    }

    /// [count, n_rows] sums of products of bytes.
    [[nodiscard]] std::vector<std::int64_t> multiply_keys(const BlockedMatrix& q,
                                                          const HeadOfKeys& own) const {
        const std::size_t d = shape_.head_dim;
        TokenRows tokens(count_, d, {{0, d}});
        for (std::size_t i = 0; i < count_; ++i) {
            std::copy_n(q.narrow.data() + query_row(i) * q.cols + head_ * d, d, tokens.row(i));
            tokens.finish(i);
            tokens.up(i, 0) = 0;
        }
        static constexpr std::int32_t no_ups[integer_panel_rows] = {};
        std::vector<std::int64_t> products(count_ * n_rows_);
        for (std::size_t p = 0; p < own.keys.n_panels(); ++p) {
            vector_kernels().multiply_blocks(tokens.with(own.keys.panel(p), no_ups, 0, count_),
                                             products.data() + p * integer_panel_rows, n_rows_);
        }
        return products;
    }

    void take_softmax(const BlockedMatrix& q, const HeadOfKeys& own, const std::int64_t* products,
                      std::size_t i, SoftmaxRow& row) const {
        const KeyRange keys = visible_keys(shape_, sequence_, begin_ + i);
        const int shift = q.shift(query_row(i), head_ * shape_.head_dim);
        for (std::size_t j = keys.begin; j < keys.end; ++j) {
            row.scores.push_back(scale_.score(head_, static_cast<std::int32_t>(products[j]),
                                              shift + own.key_shifts[j], j,
                                              sequence_.position(begin_ + i)));
            row.shifts.push_back(own.value_shifts[j]);
        }
        row.exponentiate(keys.begin);
    }

    static void write_weights(const SoftmaxRow& row, std::size_t i, TokenRows& weights) {
        std::copy(row.codes.begin(), row.codes.end(), weights.row(i) + row.first);
        weights.finish(i);
        for (std::size_t p = 0; p < weights.pieces().size(); ++p) {
            weights.up(i, p) = 0;
        }
        const std::size_t first_block = row.first / keys_per_block;
        for (std::size_t b = 0; b < row.ups.size(); ++b) {
            weights.up(i, first_block + b) = row.ups[b];
        }
    }

    void mix_values(const HeadOfKeys& own, const TokenRows& weights,
                    const std::vector<SoftmaxRow>& rows, BlockedMatrix& y) const {
        const std::size_t d = shape_.head_dim;
        const std::size_t stride = own.values.n_panels() * integer_panel_rows;
        const std::vector<std::int32_t> no_ups(weights.pieces().size() * integer_panel_rows, 0);
        std::vector<std::int64_t> mixed(count_ * stride);
        for (std::size_t p = 0; p < own.values.n_panels(); ++p) {
            vector_kernels().multiply_blocks(
                weights.with(own.values.panel(p), no_ups.data(), 0, count_),
                mixed.data() + p * integer_panel_rows, stride);
        }
        BlockNumbers numbers(d);
        for (std::size_t i = 0; i < count_; ++i) {
            numbers.clear();
            std::int64_t* to = numbers.add(d, 0);
            numbers.set_exponent(rows[i].divide({mixed.data() + i * stride, d}, to));
            numbers.store(y, query_row(i), head_);
        }
    }

    const AttentionShape& shape_;
    const ScoreScale& scale_;
    const AttentionSequence& sequence_;
    std::size_t head_;
    std::size_t begin_;  ///< of the sequence's queries
    std::size_t count_;
    std::size_t n_rows_;  ///< of keys, in whole panels
};

}  // namespace

void CpuIntegers::do_attention(const BlockedMatrix& q, const BlockedMatrix& k,
                               const BlockedMatrix& v, const AttentionShape& shape,
                               BlockedMatrix& y) const {
    const std::vector<AttentionSequence> sequences = sequences_of(shape);
    const ScoreScale scale(shape);
    const std::size_t group = shape.n_heads / shape.n_kv_heads;
    // A tile is a head of keys of a sequence, with all queries that read it.
    pool_.for_each(sequences.size() * shape.n_kv_heads, [&](std::size_t tile) {
        const AttentionSequence& sequence = sequences[tile / shape.n_kv_heads];
        const std::size_t kv = tile % shape.n_kv_heads;
        if (sequence.n_queries == 0) {
            return;
        }
        const HeadOfKeys keys(k, v, sequence, kv, shape.head_dim);
        for (std::size_t h = kv * group; h < (kv + 1) * group; ++h) {
            for (std::size_t i = 0; i < sequence.n_queries; i += queries_per_tile) {
                const std::size_t count = std::min(queries_per_tile, sequence.n_queries - i);
                HeadOfQueries(shape, scale, sequence, h, i, count).run(q, keys, y);
            }
        }
    });
}

}  // namespace lathe::kernels
