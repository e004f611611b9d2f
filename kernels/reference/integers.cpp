#include "kernels/layouts/integer_attention.hpp"
#include "kernels/layouts/integer_rows.hpp"
#include "kernels/reference/reference_backend.hpp"
#include "kernels/reference/reference_integers.hpp"

namespace lathe::kernels {
namespace {

using BlockNumbers = fixed_point::BlockNumbers<fixed_point::PlainLoops>;
using fixed_point::Number;
using RowScratch = fixed_point::RowScratch<>;

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

/// Sums of products of row t of x with rows of the weight that share an exponent.
class Products {
public:
    /// Rows [begin, end) of the weight.
    Products(const BlockedMatrix& x, std::size_t t, const BlockedMatrix& w, std::size_t begin,
             std::size_t end)
        : x_(x), w_(w), t_(t), coarsest_x_(x.coarsest(t)), coarsest_w_(most_shift) {
        for (std::size_t o = begin; o < end; ++o) {
            coarsest_w_ = std::min(coarsest_w_, w.coarsest(o));
        }
    }

    [[nodiscard]] int exponent() const {
        return coarsest_x_ + coarsest_w_ + fixed_point::product_bits;
    }

    [[nodiscard]] std::int64_t with_row(std::size_t o) const {
        std::int64_t total = 0;
        fixed_point::for_pieces(
            0, x_.cols, {x_.block_size, w_.block_size}, [&](std::size_t begin, std::size_t end) {
                std::int32_t sum = 0;
                for (std::size_t j = begin; j < end; ++j) {
                    sum += x_.number(t_, j) * w_.number(o, j);
                }
                const int up = fixed_point::product_bits - (x_.shift(t_, begin) - coarsest_x_) -
                               (w_.shift(o, begin) - coarsest_w_);
                total += up < 0 ? 0 : std::int64_t{sum} << up;
            });
        return total;
    }

private:
    const BlockedMatrix& x_;
    const BlockedMatrix& w_;
    std::size_t t_;
    int coarsest_x_;
    int coarsest_w_;
};

/// Outputs [begin, end) of row t as pieces of `numbers`, the bias added.
void add_outputs(const BlockedMatrix& x, const BlockedMatrix& w, const BlockedMatrix* bias,
                 std::size_t t, std::size_t begin, std::size_t end, RowScratch& scratch) {
    const Products products(x, t, w, begin, end);
    fixed_point::add_outputs(begin, end, products.exponent(), bias, scratch,
                             [&](std::size_t first, std::size_t last, std::int64_t* to) {
                                 for (std::size_t o = first; o < last; ++o) {
                                     to[o - first] = products.with_row(o);
                                 }
                             });
}

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
    const BlockedMatrix row(1, y.cols, fixed_point::logits_block_size, 8);
    RowScratch scratch(row);
    for (std::size_t t = 0; t < y.rows; ++t) {
        for (std::size_t begin = 0; begin < y.cols; begin += fixed_point::logits_block_size) {
            scratch.numbers.clear();
            add_outputs(x, matrix_of(weight), bias, t, begin,
                        std::min(begin + fixed_point::logits_block_size, y.cols), scratch);
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
    const std::size_t d = shape.head_dim;
    const fixed_point::ScoreScale scale(shape);
    BlockNumbers numbers(d);
    for (const AttentionSequence& sequence : sequences_of(shape)) {
        for (std::size_t i = 0; i < sequence.n_queries; ++i) {
            const KeyRange keys = visible_keys(shape, sequence, i);
            const std::size_t row = sequence.first_query + i;
            for (std::size_t h = 0; h < shape.n_heads; ++h) {
                const std::size_t kv = h / (shape.n_heads / shape.n_kv_heads);
                fixed_point::SoftmaxRow softmax;
                for (std::size_t j = keys.begin; j < keys.end; ++j) {
                    const std::size_t key = sequence.first_key + j;
                    std::int32_t product = 0;
                    for (std::size_t c = 0; c < d; ++c) {
                        product += q.number(row, h * d + c) * k.number(key, kv * d + c);
                    }
                    const int exponent = q.shift(row, h * d) + k.shift(key, kv * d);
                    softmax.scores.push_back(
                        scale.score(h, product, exponent, j, sequence.position(i)));
                    softmax.shifts.push_back(v.shift(key, kv * d));
                }
                softmax.exponentiate(keys.begin);
                std::vector<std::int64_t> mixed(d, 0);
                for (std::size_t j = keys.begin; j < keys.end; ++j) {
                    const std::size_t key = sequence.first_key + j;
                    const fixed_point::KeyWeight weight = softmax.weight(j);
                    for (std::size_t c = 0; c < d; ++c) {
                        mixed[c] += std::int64_t{weight.code * v.number(key, kv * d + c)}
                                    << weight.up;
                    }
                }
                numbers.clear();
                std::int64_t* to = numbers.add(d, 0);
                numbers.set_exponent(softmax.divide(mixed, to));
                numbers.store(y, row, h);
            }
        }
    }
}

}  // namespace lathe::kernels
