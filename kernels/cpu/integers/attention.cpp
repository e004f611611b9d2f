#include <algorithm>

#include "kernels/cpu/integers/block_loops.hpp"
#include "kernels/cpu/integers/cpu_integers.hpp"
#include "kernels/cpu/integers/integer_panels.hpp"
#include "kernels/layouts/integer_attention.hpp"

namespace lathe::kernels {
namespace {

using BlockNumbers = fixed_point::BlockNumbers<VectorLoops>;
using fixed_point::keys_per_block;
using fixed_point::ScoreScale;
using SoftmaxRow = fixed_point::SoftmaxRow<VectorLoops>;

constexpr std::size_t queries_per_tile = 48;
/// The most that SoftmaxRow::bits() can be.
constexpr int most_bits = fixed_point::sum_bits(keys_per_block);

/// A head of the keys of one sequence, in panels for both products.
struct HeadOfKeys {
    RowPanels keys;    ///< rows are keys, columns places in the head
    RowPanels values;  ///< rows are places in the head, columns keys
    std::vector<std::int32_t> key_shifts;
    std::vector<std::int32_t> value_shifts;

    HeadOfKeys(const BlockedMatrix& k, const BlockedMatrix& v, const AttentionSequence& sequence,
               std::size_t head, std::size_t d)
        : keys(sequence.n_keys, d), values(d, sequence.n_keys) {
        for (std::size_t j = 0; j < sequence.n_keys; ++j) {
            const std::size_t row = sequence.first_key + j;
            keys.set_row(j, {k.narrow.data() + row * k.cols + head * d, d});
            values.set_column(j, {v.narrow.data() + row * v.cols + head * d, d});
            key_shifts.push_back(k.shift(row, head * d));
            value_shifts.push_back(v.shift(row, head * d));
        }
    }
};

/// One query: its products with keys, and what is made of them.
struct QueryRow {
    std::size_t head = 0;
    std::size_t position = 0;
    int shift = 0;
    KeyRange keys{};
    const std::int32_t* products = nullptr;
};

LATHE_FLAT_VECTOR_CLONES
void take_softmax(const ScoreScale& scale, const QueryRow& query, const HeadOfKeys& own,
                  SoftmaxRow& row) {
    scale.write(query.head, query.position, query.shift, query.keys, query.products,
                own.key_shifts.data(), row.scores.data());
    row.exponentiate(query.keys, own.value_shifts.data());
}

LATHE_FLAT_VECTOR_CLONES
void store_mixed(const SoftmaxRow& softmax, const std::int32_t* mixed, std::size_t d,
                 BlockNumbers& numbers, BlockedMatrix& y, std::size_t row, std::size_t head) {
    numbers.clear();
    std::int64_t* to = numbers.add(d, 0);
    numbers.set_exponent(softmax.divide(mixed, d, to));
    numbers.store(y, row, head);
}

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
          count_(count) {}

    /// rows: memory for queries_per_tile of them.
    void run(const BlockedMatrix& q, const HeadOfKeys& own, std::vector<SoftmaxRow>& rows,
             BlockedMatrix& y) const {
        const std::size_t stride = own.keys.n_panels() * integer_panel_rows;
        const std::vector<std::int32_t> products = multiply_keys(q, own, stride);
        TokenRows weights(count_, sequence_.n_keys,
                          column_pieces(sequence_.n_keys, keys_per_block, keys_per_block),
                          sequence_.n_keys);
        for (std::size_t i = 0; i < count_; ++i) {
            const QueryRow query{head_, sequence_.position(begin_ + i),
                                 q.shift(query_row(i), head_ * shape_.head_dim),
                                 visible_keys(shape_, sequence_, begin_ + i),
                                 products.data() + i * stride};
            take_softmax(scale_, query, own, rows[i]);
            std::copy_n(rows[i].codes.begin(), query.keys.end - query.keys.begin,
                        weights.row(i) + query.keys.begin);
            weights.finish(i);
        }
        mix_values(own, weights, rows, y);
    }

private:
    [[nodiscard]] std::size_t query_row(std::size_t i) const {
        return sequence_.first_query + begin_ + i;
    }

    /// [count, stride] sums of products of bytes.
    [[nodiscard]] std::vector<std::int32_t> multiply_keys(const BlockedMatrix& q,
                                                          const HeadOfKeys& own,
                                                          std::size_t stride) const {
        const std::size_t d = shape_.head_dim;
        TokenRows tokens(count_, d, {{0, d}}, d);
        for (std::size_t i = 0; i < count_; ++i) {
            std::copy_n(q.narrow.data() + query_row(i) * q.cols + head_ * d, d, tokens.row(i));
            tokens.finish(i);
        }
        const std::vector<std::int32_t> no_downs(count_, 0);
        return multiply(own.keys, tokens, no_downs, 0, stride);
    }

    void mix_values(const HeadOfKeys& own, const TokenRows& weights,
                    const std::vector<SoftmaxRow>& rows, BlockedMatrix& y) const {
        const std::size_t d = shape_.head_dim;
        // A row's sums have fewer bits than most_bits where it sees many keys: they go to the right
        // by as much more.
        std::vector<std::int32_t> downs(weights.pieces().size() * count_, 0);
        for (std::size_t i = 0; i < count_; ++i) {
            const KeyRange keys = visible_keys(shape_, sequence_, begin_ + i);
            for (std::size_t p = keys.begin / keys_per_block; p * keys_per_block < keys.end; ++p) {
                downs[p * count_ + i] = most_bits - rows[i].bits() +
                                        rows[i].down(std::max(p * keys_per_block, keys.begin));
            }
        }
        const std::size_t stride = own.values.n_panels() * integer_panel_rows;
        const std::vector<std::int32_t> mixed =
            multiply(own.values, weights, downs, most_bits, stride);
        BlockNumbers numbers(d);
        for (std::size_t i = 0; i < count_; ++i) {
            store_mixed(rows[i], mixed.data() + i * stride, d, numbers, y, query_row(i), head_);
        }
    }

    /// All panels with all tokens. downs [pieces][count]
    [[nodiscard]] std::vector<std::int32_t> multiply(const RowPanels& panels,
                                                     const TokenRows& tokens,
                                                     const std::vector<std::int32_t>& downs,
                                                     int bits, std::size_t stride) const {
        static constexpr std::int8_t no_shifts[integer_panel_rows] = {};
        std::vector<std::int32_t> sums(count_ * stride);
        for (std::size_t p = 0; p < panels.n_panels(); ++p) {
            IntegerPanel work = tokens.with(panels.panel(p), 0, count_);
            work.bits = bits;
            work.row_shifts = no_shifts;
            work.token_downs = downs.data();
            work.token_stride = count_;
            vector_kernels().multiply_blocks(work, sums.data() + p * integer_panel_rows, stride);
        }
        return sums;
    }

    const AttentionShape& shape_;
    const ScoreScale& scale_;
    const AttentionSequence& sequence_;
    std::size_t head_;
    std::size_t begin_;  ///< of the sequence's queries
    std::size_t count_;
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
        std::vector<SoftmaxRow> rows(std::min(queries_per_tile, sequence.n_queries),
                                     SoftmaxRow(sequence.n_keys));
        for (std::size_t h = kv * group; h < (kv + 1) * group; ++h) {
            for (std::size_t i = 0; i < sequence.n_queries; i += queries_per_tile) {
                const std::size_t count = std::min(queries_per_tile, sequence.n_queries - i);
                HeadOfQueries(shape, scale, sequence, h, i, count).run(q, keys, rows, y);
            }
        }
    });
}

}  // namespace lathe::kernels
