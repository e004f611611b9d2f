#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/contract/integers.hpp"
#include "kernels/layouts/fixed_point.hpp"
#include "kernels/layouts/function_tables.hpp"

// The operators on blocks that go row by row (Integers): one definition for all implementations,
// which share out the rows. Products and attention are each implementation's own.

namespace lathe::kernels::fixed_point {

/// Memory of a row's work; `numbers` has room for a block of the result.
template <class OwnLoops = PlainLoops>
struct RowScratch {
    using Loops = OwnLoops;
    explicit RowScratch(const BlockedMatrix& y) : numbers(y.block_size), term(y.block_size) {}
    BlockNumbers<Loops> numbers;
    std::vector<std::int64_t> term;
};

/// Row r of y, block by block: fill(begin, end) adds pieces that cover the block's columns to
/// scratch.numbers.
template <class Scratch, class Fill>
void make_row(BlockedMatrix& y, std::size_t r, Scratch& scratch, const Fill& fill) {
    for (std::size_t block = 0; block < y.blocks(); ++block) {
        const std::size_t begin = block * y.block_size;
        scratch.numbers.clear();
        fill(begin, std::min(begin + y.block_size, y.cols));
        scratch.numbers.store(y, r, block);
    }
}

/// Calls use(q) with the numbers of row r from column j on, as a pointer of the type they have.
template <class Use>
void with_numbers(const BlockedMatrix& x, std::size_t r, std::size_t j, const Use& use) {
    if (x.is_wide()) {
        use(x.wide.data() + r * x.cols + j);
    } else {
        use(x.narrow.data() + r * x.cols + j);
    }
}

inline void copy_numbers(const BlockedMatrix& x, std::size_t r, std::size_t begin, std::size_t end,
                         std::int64_t* to) {
    with_numbers(x, r, begin, [&](const auto* q) { std::copy(q, q + (end - begin), to); });
}

// ---- products --------------------------------------------------------------------------------

/// Output o of a product and its bias (or null) as a piece of scratch.numbers.
template <class Scratch>
void add_output(std::size_t o, std::int32_t sum, int exponent, const BlockedMatrix* bias,
                Scratch& scratch) {
    *scratch.numbers.add(1, exponent) = sum;
    if (bias != nullptr) {
        const std::int64_t q = bias->number(0, o);
        scratch.numbers.add_term(&q, bias->shift(0, o));
    }
}

// ---- sums ------------------------------------------------------------------------------------

template <class Scratch>
void embed_row(std::span<const TableRows> terms, std::size_t r, BlockedMatrix& y,
               Scratch& scratch) {
    // Four at most; a table that is not there cuts nothing.
    std::array<std::size_t, 4> sizes{y.block_size, y.block_size, y.block_size, y.block_size};
    for (std::size_t i = 0; i < terms.size(); ++i) {
        sizes[i] = terms[i].table->block_size;
    }
    make_row(y, r, scratch, [&](std::size_t first, std::size_t last) {
        for_pieces(first, last, {sizes[0], sizes[1], sizes[2], sizes[3]},
                   [&](std::size_t begin, std::size_t end) {
                       for (const TableRows& term : terms) {
                           const BlockedMatrix& table = *term.table;
                           const std::size_t id = term.ids[r];
                           const int shift = table.shift(id, begin);
                           if (&term == &terms.front()) {
                               copy_numbers(table, id, begin, end,
                                            scratch.numbers.add(end - begin, shift));
                               continue;
                           }
                           copy_numbers(table, id, begin, end, scratch.term.data());
                           scratch.numbers.add_term(scratch.term.data(), shift);
                       }
                   });
    });
}

template <class Scratch>
void add_rows(const BlockedMatrix& x, const BlockedMatrix& y, std::size_t r, BlockedMatrix& z,
              Scratch& scratch) {
    make_row(z, r, scratch, [&](std::size_t first, std::size_t last) {
        for_pieces(
            first, last, {x.block_size, y.block_size}, [&](std::size_t begin, std::size_t end) {
                copy_numbers(x, r, begin, end, scratch.numbers.add(end - begin, x.shift(r, begin)));
                copy_numbers(y, r, begin, end, scratch.term.data());
                scratch.numbers.add_term(scratch.term.data(), y.shift(r, begin));
            });
    });
}

// ---- norms -----------------------------------------------------------------------------------

/// The numbers of a row with four bits more: a block that is k bits finer than the coarsest, at
/// most finest_step, is at exponent `coarsest` + 4 + k.
class NormRow {
public:
    static constexpr int finest_step = 12;
    static constexpr int more_bits = 4;

    NormRow(const BlockedMatrix& x, const IntegerNorm& settings, std::size_t r)
        : x_(x), r_(r), coarsest_(x.coarsest(r)) {
        const auto n = static_cast<std::int64_t>(x.cols);
        if (settings.subtract_mean) {
            std::int64_t total = 0;  // at the exponent of the finest blocks
            for_each_block([&](std::size_t begin, std::size_t end, int step) {
                std::int64_t sum = 0;
                each(begin, end, step, [&](std::size_t, std::int64_t v) { sum += v; });
                total += sum << (finest_step - step);
            });
            mean_ = floor_divide(2 * total + n, 2 * n);
        }
        std::int64_t squares = 0;  // at twice the coarsest blocks' exponent
        for_each_block([&](std::size_t begin, std::size_t end, int step) {
            const std::int64_t mean = mean_at(step);
            std::int64_t sum = 0;
            each(begin, end, step, [&](std::size_t, std::int64_t v) {
                const std::int64_t c = v - mean;
                sum += (c * c) >> (2 * step);
            });
            squares += sum;
        });
        const Number variance{(squares << 8) / n, 2 * (coarsest_ + more_bits) + 8};
        root_ = inverse_root(sum(variance, constant(double{settings.epsilon}, 31)));
    }

    /// Writes (x - mean) * root for columns of one block of x; returns the exponent.
    int write(std::size_t begin, std::size_t end, std::int64_t* to) const {
        const int step = step_of(begin);
        const std::int64_t mean = mean_at(step);
        each(begin, end, step,
             [&](std::size_t j, std::int64_t v) { to[j - begin] = (v - mean) * root_.mantissa; });
        return coarsest_ + more_bits + step + root_.exponent;
    }

private:
    [[nodiscard]] static std::int64_t floor_divide(std::int64_t a, std::int64_t b) {
        return a >= 0 ? a / b : -((-a + b - 1) / b);
    }
    [[nodiscard]] int step_of(std::size_t j) const {
        return std::min(x_.shift(r_, j) - coarsest_, int{finest_step});
    }
    [[nodiscard]] std::int64_t mean_at(int step) const {
        return shift_right(mean_, finest_step - step);
    }
    template <class Use>
    void for_each_block(const Use& use) const {
        for (std::size_t begin = 0; begin < x_.cols; begin += x_.block_size) {
            use(begin, std::min(begin + x_.block_size, x_.cols), step_of(begin));
        }
    }
    /// use(j, number) for columns of one block.
    template <class Use>
    void each(std::size_t begin, std::size_t end, int step, const Use& use) const {
        const int beyond = x_.shift(r_, begin) - coarsest_ - step;
        with_numbers(x_, r_, begin, [&](const auto* q) {
            for (std::size_t j = begin; j < end; ++j) {
                const std::int64_t more = std::int64_t{q[j - begin]} << more_bits;
                use(j, beyond == 0 ? more : shift_right(more, beyond));
            }
        });
    }

    const BlockedMatrix& x_;
    std::size_t r_;
    int coarsest_;
    std::int64_t mean_ = 0;  ///< at the exponent of the finest blocks
    Number root_;
};

template <class Scratch>
void norm_row(const BlockedMatrix& x, const IntegerNorm& settings, std::size_t r, BlockedMatrix& y,
              Scratch& scratch) {
    const NormRow row(x, settings, r);
    const std::size_t weight_size = settings.weight ? settings.weight->block_size : y.block_size;
    const std::size_t bias_size = settings.bias ? settings.bias->block_size : y.block_size;
    make_row(y, r, scratch, [&](std::size_t first, std::size_t last) {
        for_pieces(first, last, {x.block_size, weight_size, bias_size},
                   [&](std::size_t begin, std::size_t end) {
                       int exponent = row.write(begin, end, scratch.term.data());
                       if (settings.weight != nullptr) {
                           const std::int8_t* weight = settings.weight->narrow.data() + begin;
                           for (std::size_t j = 0; j < end - begin; ++j) {
                               scratch.term[j] *= weight[j];
                           }
                           exponent += settings.weight->shift(0, begin);
                       }
                       std::int64_t* to = scratch.numbers.add(end - begin, exponent);
                       std::copy_n(scratch.term.begin(), end - begin, to);
                       if (settings.bias != nullptr) {
                           copy_numbers(*settings.bias, 0, begin, end, scratch.term.data());
                           scratch.numbers.add_term(scratch.term.data(),
                                                    settings.bias->shift(0, begin));
                       }
                   });
    });
}

// ---- activations -----------------------------------------------------------------------------

/// Writes f(x) for columns of one block of x; returns the exponent.
template <class Loops>
int write_activation(Activation kind, const BlockedMatrix& x, std::size_t r, std::size_t begin,
                     std::size_t end, std::int64_t* to) {
    const int shift = x.shift(r, begin);
    int exponent = shift;
    with_numbers(x, r, begin, [&](const auto* q) {
        if (kind == Activation::relu) {
            std::transform(q, q + (end - begin), to, [](auto n) { return n > 0 ? n : 0; });
            return;
        }
        const FunctionTable& table = table_of(kind);
        const bool is_factor = kind != Activation::tanh;
        constexpr std::size_t at_once = 64;
        std::int32_t values[at_once];
        for (std::size_t first = 0; first < end - begin; first += at_once) {
            const std::size_t n = std::min(at_once, end - begin - first);
            table.look_up<Loops>(q + first, n, shift, values);
            for (std::size_t j = 0; j < n; ++j) {
                to[first + j] =
                    is_factor ? std::int64_t{values[j]} * q[first + j] : std::int64_t{values[j]};
            }
        }
        exponent = FunctionTable::value_bits + (is_factor ? shift : 0);
    });
    return exponent;
}

template <class Scratch>
void activate_row(Activation kind, const BlockedMatrix& x, std::size_t r, BlockedMatrix& y,
                  Scratch& scratch) {
    make_row(y, r, scratch, [&](std::size_t first, std::size_t last) {
        for_pieces(first, last, {x.block_size}, [&](std::size_t begin, std::size_t end) {
            const int exponent = write_activation<typename Scratch::Loops>(kind, x, r, begin, end,
                                                                           scratch.term.data());
            std::copy_n(scratch.term.begin(), end - begin,
                        scratch.numbers.add(end - begin, exponent));
        });
    });
}

template <class Scratch>
void activate_multiply_row(Activation kind, const BlockedMatrix& gate, const BlockedMatrix& up,
                           std::size_t r, BlockedMatrix& y, Scratch& scratch) {
    make_row(y, r, scratch, [&](std::size_t first, std::size_t last) {
        for_pieces(
            first, last, {gate.block_size, up.block_size}, [&](std::size_t begin, std::size_t end) {
                const int exponent = write_activation<typename Scratch::Loops>(
                    kind, gate, r, begin, end, scratch.term.data());
                std::int64_t* to = scratch.numbers.add(end - begin, exponent + up.shift(r, begin));
                with_numbers(up, r, begin, [&](const auto* q) {
                    for (std::size_t j = 0; j < end - begin; ++j) {
                        to[j] = scratch.term[j] * q[j];
                    }
                });
            });
    });
}

// ---- positions -------------------------------------------------------------------------------

/// Bits behind the binary point of cosines and sines.
inline constexpr int angle_bits = 14;

template <class Scratch>
void rope_row(const BlockedMatrix& x, std::span<const std::int16_t> cos,
              std::span<const std::int16_t> sin, std::size_t r, BlockedMatrix& y,
              Scratch& scratch) {
    const std::size_t pairs = cos.size();
    make_row(y, r, scratch, [&](std::size_t begin, std::size_t end) {
        std::int64_t* to = scratch.numbers.add(end - begin, x.shift(r, begin) + angle_bits);
        with_numbers(x, r, begin, [&](const auto* q) {
            for (std::size_t i = 0; i < pairs; ++i) {
                const std::int64_t a = q[i];
                const std::int64_t b = q[i + pairs];
                to[i] = a * cos[i] - b * sin[i];
                to[i + pairs] = b * cos[i] + a * sin[i];
            }
            for (std::size_t i = 2 * pairs; i < end - begin; ++i) {
                to[i] = std::int64_t{q[i]} << angle_bits;
            }
        });
    });
}

}  // namespace lathe::kernels::fixed_point
