#include "kernels/layouts/integer_attention.hpp"
#include "kernels/layouts/integer_rows.hpp"
#include "kernels/reference/reference_backend.hpp"
#include "kernels/reference/reference_integers.hpp"

namespace lathe::kernels {
namespace {

using BlockNumbers = fixed_point::BlockNumbers<fixed_point::PlainLoops>;
using fixed_point::Number;
using RowScratch = fixed_point::RowScratch<>;
using SoftmaxRow = fixed_point::SoftmaxRow<>;

class PlainWeight final : public IntegerWeight {
public:
    explicit PlainWeight(const BlockedMatrix& matrix) : matrix_(matrix) {}
    [[nodiscard]] std::size_t rows() const noexcept override { return matrix_.rows; }
    [[nodiscard]] std::size_t cols() const noexcept override { return matrix_.cols; }
    [[nodiscard]] const BlockedMatrix& matrix() const { return matrix_; }

private:
    BlockedMatrix matrix_;
};

const BlockedMatrix& matrix_of(const IntegerWeight& weight) {
    return static_cast<const PlainWeight&>(weight).matrix();
}

/// Sums of products of row t of x with rows of the weight that are aligned together.
class Products {
public:
    /// Rows [begin, end) of the weight.
    Products(const BlockedMatrix& x, std::size_t t, const BlockedMatrix& w, std::size_t begin,
             std::size_t end)
        : x_(x), w_(w), t_(t), bits_(fixed_point::sum_bits(x.cols)) {
        for (std::size_t o = begin; o < end; ++o) {
            for_each_piece(
                [&](std::size_t j, std::size_t) { coarsest_ = std::min(coarsest_, shift(o, j)); });
        }
    }

    /// Of the sum with row o.
    [[nodiscard]] int exponent(std::size_t o) const { return coarsest_ + bits_ + w_.coarsest(o); }

    [[nodiscard]] std::int32_t with_row(std::size_t o) const {
        std::int32_t total = 0;
        for_each_piece([&](std::size_t begin, std::size_t end) {
            std::int32_t sum = 0;
            for (std::size_t j = begin; j < end; ++j) {
                sum += x_.number(t_, j) * w_.number(o, j);
            }
            total += fixed_point::aligned(sum, bits_, shift(o, begin) - coarsest_);
        });
        return total;
    }

private:
    /// use(begin, end) for columns in which both have one shift.
    template <class Use>
    void for_each_piece(const Use& use) const {
        fixed_point::for_pieces(0, x_.cols, {x_.block_size, w_.block_size}, use);
    }
    /// Of products in column j with row o, from the shift of the row's coarsest block on.
    [[nodiscard]] int shift(std::size_t o, std::size_t j) const {
        return x_.shift(t_, j) + std::min(w_.shift(o, j) - w_.coarsest(o), most_shift);
    }

    const BlockedMatrix& x_;
    const BlockedMatrix& w_;
    std::size_t t_;
    int bits_;
    int coarsest_ = 2 * most_shift;  ///< the smallest of all shift()
};

/// Outputs [begin, end) of row t as pieces of scratch.numbers, the bias added.
void add_outputs(const BlockedMatrix& x, const BlockedMatrix& w, const BlockedMatrix* bias,
                 std::size_t t, std::size_t begin, std::size_t end, RowScratch& scratch) {
    const std::size_t rows = fixed_point::rows_per_alignment;
    fixed_point::for_pieces(begin, end, {rows}, [&](std::size_t first, std::size_t last) {
        const std::size_t group = first / rows * rows;
        const Products products(x, t, w, group, std::min(group + rows, w.rows));
        for (std::size_t o = first; o < last; ++o) {
            fixed_point::add_output(o, products.with_row(o), products.exponent(o), bias, scratch);
        }
    });
}

/// A head of keys and values.
struct KeyHead {
    const BlockedMatrix& k;
    const BlockedMatrix& v;
    std::size_t head;
};

/// Attention of one head of queries of a sequence.
class Head {
public:
    Head(const AttentionShape& shape, const fixed_point::ScoreScale& scale,
         const AttentionSequence& sequence, std::size_t head, const KeyHead& own)
        : shape_(shape), scale_(scale), sequence_(sequence), head_(head), own_(own) {}

    /// Query i of the sequence.
    void attend(const BlockedMatrix& q, std::size_t i, BlockedMatrix& y) const {
        const std::size_t d = shape_.head_dim;
        const std::size_t row = sequence_.first_query + i;
        const KeyRange keys = visible_keys(shape_, sequence_, i);
        std::vector<std::int32_t> products(sequence_.n_keys, 0);
        std::vector<std::int32_t> key_shifts(sequence_.n_keys);
        std::vector<std::int32_t> value_shifts(sequence_.n_keys);
        for (std::size_t j = 0; j < sequence_.n_keys; ++j) {
            const std::size_t key = sequence_.first_key + j;
            for (std::size_t c = 0; c < d; ++c) {
                products[j] += q.number(row, head_ * d + c) * own_.k.number(key, own_.head * d + c);
            }
            key_shifts[j] = own_.k.shift(key, own_.head * d);
            value_shifts[j] = own_.v.shift(key, own_.head * d);
        }
        SoftmaxRow softmax(sequence_.n_keys);
        scale_.write(head_, sequence_.position(i), q.shift(row, head_ * d), keys, products.data(),
                     key_shifts.data(), softmax.scores.data());
        softmax.exponentiate(keys, value_shifts.data());
        BlockNumbers numbers(d);
        std::int64_t* to = numbers.add(d, 0);
        numbers.set_exponent(softmax.divide(mixed(softmax, keys).data(), d, to));
        numbers.store(y, row, head_);
    }

private:
    [[nodiscard]] std::vector<std::int32_t> mixed(const SoftmaxRow& softmax, KeyRange keys) const {
        const std::size_t d = shape_.head_dim;
        std::vector<std::int32_t> totals(d, 0);
        const auto add = [&](std::size_t begin, std::size_t end) {
            for (std::size_t c = 0; c < d; ++c) {
                std::int32_t sum = 0;
                for (std::size_t j = begin; j < end; ++j) {
                    sum += softmax.codes[j - keys.begin] *
                           own_.v.number(sequence_.first_key + j, own_.head * d + c);
                }
                totals[c] += fixed_point::aligned(sum, softmax.bits(), softmax.down(begin));
            }
        };
        fixed_point::for_pieces(keys.begin, keys.end, {fixed_point::keys_per_block}, add);
        return totals;
    }

    const AttentionShape& shape_;
    const fixed_point::ScoreScale& scale_;
    const AttentionSequence& sequence_;
    std::size_t head_;
    KeyHead own_;
};

}  // namespace

std::unique_ptr<const Integers> ReferenceBackend::integers() const {
    return std::make_unique<ReferenceIntegers>();
}

std::unique_ptr<const IntegerWeight> ReferenceIntegers::do_pack(const BlockedMatrix& weight) const {
    return std::make_unique<PlainWeight>(weight);
}

void ReferenceIntegers::do_linear(const BlockedMatrix& x, const IntegerWeight& weight,
                                  const BlockedMatrix* bias, BlockedMatrix& y) const {
    RowScratch scratch(y);
    for (std::size_t t = 0; t < y.rows; ++t) {
        fixed_point::make_row(y, t, scratch, [&](std::size_t begin, std::size_t end) {
            add_outputs(x, matrix_of(weight), bias, t, begin, end, scratch);
        });
    }
}

void ReferenceIntegers::do_logits(const BlockedMatrix& x, const IntegerWeight& weight,
                                  const BlockedMatrix* bias, MatrixView<float> y) const {
    const BlockedMatrix row(1, y.cols, fixed_point::rows_per_alignment, 8);
    RowScratch scratch(row);
    for (std::size_t t = 0; t < y.rows; ++t) {
        for (std::size_t begin = 0; begin < y.cols; begin += fixed_point::rows_per_alignment) {
            scratch.numbers.clear();
            add_outputs(x, matrix_of(weight), bias, t, begin,
                        std::min(begin + fixed_point::rows_per_alignment, y.cols), scratch);
            scratch.numbers.for_each([&](std::size_t o, const Number& number) {
                y(t, begin + o) = fixed_point::to_float(number);
            });
        }
    }
}

void ReferenceIntegers::do_embed(std::span<const TableRows> terms, BlockedMatrix& y) const {
    RowScratch scratch(y);
    for (std::size_t r = 0; r < y.rows; ++r) {
        fixed_point::embed_row(terms, r, y, scratch);
    }
}

void ReferenceIntegers::do_add(const BlockedMatrix& x, const BlockedMatrix& y,
                               BlockedMatrix& z) const {
    RowScratch scratch(z);
    for (std::size_t r = 0; r < z.rows; ++r) {
        fixed_point::add_rows(x, y, r, z, scratch);
    }
}

void ReferenceIntegers::do_norm(const BlockedMatrix& x, const IntegerNorm& settings,
                                BlockedMatrix& y) const {
    RowScratch scratch(y);
    for (std::size_t r = 0; r < y.rows; ++r) {
        fixed_point::norm_row(x, settings, r, y, scratch);
    }
}

void ReferenceIntegers::do_activate(Activation kind, const BlockedMatrix& x,
                                    BlockedMatrix& y) const {
    RowScratch scratch(y);
    for (std::size_t r = 0; r < y.rows; ++r) {
        fixed_point::activate_row(kind, x, r, y, scratch);
    }
}

void ReferenceIntegers::do_activate_multiply(Activation kind, const BlockedMatrix& gate,
                                             const BlockedMatrix& up, BlockedMatrix& y) const {
    RowScratch scratch(y);
    for (std::size_t r = 0; r < y.rows; ++r) {
        fixed_point::activate_multiply_row(kind, gate, up, r, y, scratch);
    }
}

void ReferenceIntegers::do_rope(const BlockedMatrix& x, MatrixView<const std::int16_t> cos,
                                MatrixView<const std::int16_t> sin,
                                std::span<const std::uint32_t> positions, BlockedMatrix& y) const {
    RowScratch scratch(y);
    for (std::size_t r = 0; r < y.rows; ++r) {
        fixed_point::rope_row(x, {cos.row(positions[r]), cos.cols},
                              {sin.row(positions[r]), sin.cols}, r, y, scratch);
    }
}

void ReferenceIntegers::do_attention(const BlockedMatrix& q, const BlockedMatrix& k,
                                     const BlockedMatrix& v, const AttentionShape& shape,
                                     BlockedMatrix& y) const {
    const fixed_point::ScoreScale scale(shape);
    for (const AttentionSequence& sequence : sequences_of(shape)) {
        for (std::size_t i = 0; i < sequence.n_queries; ++i) {
            for (std::size_t h = 0; h < shape.n_heads; ++h) {
                const std::size_t kv = h / (shape.n_heads / shape.n_kv_heads);
                Head(shape, scale, sequence, h, {k, v, kv}).attend(q, i, y);
            }
        }
    }
}

}  // namespace lathe::kernels
