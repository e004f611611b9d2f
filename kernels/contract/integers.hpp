#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "kernels/contract/blocked_matrix.hpp"
#include "kernels/contract/forward_kernels.hpp"
#include "kernels/contract/kernel_list.hpp"
#include "lib/core/activation.hpp"

namespace lathe::kernels {

/// A weight of at most 8 bits in the order that an implementation's products read.
class IntegerWeight {
public:
    virtual ~IntegerWeight() = default;
    [[nodiscard]] virtual std::size_t rows() const noexcept = 0;
    [[nodiscard]] virtual std::size_t cols() const noexcept = 0;
};

/// A norm, row by row: y = c * r * weight + bias, c = x less its mean or x itself,
/// r = 1 / sqrt(mean of c^2 + epsilon).
struct IntegerNorm {
    bool subtract_mean = false;
    float epsilon = 1e-6F;
    const BlockedMatrix* weight = nullptr;  ///< one row, at most 8 bits; null: 1
    const BlockedMatrix* bias = nullptr;    ///< likewise; null: 0
};

/// Rows of a table that are added up.
struct TableRows {
    const BlockedMatrix* table = nullptr;
    std::span<const std::uint32_t> ids;  ///< [rows of the sum]
};

/// Columns of the widest weight: with more, sums of products of 8 bits could leave 32 bits.
inline constexpr std::size_t widest_integer_product = 133144;

/// The operators of a transformer on blocks of whole numbers, without floating point: blockwise
/// compression of all intermediate results (arXiv:2304.01483; the paper has no formulas, these are
/// ours). Constants (epsilon, the scale of attention, slopes of ALiBi) become whole numbers when a
/// function is called, tables of functions once.
///
/// Each result y comes with the shape, block size and bits that it is to have; its numbers are the
/// exact result of the formulas, rounded once, half to even, each block at the largest shift at
/// which its largest number fits. Sums of products have 32 bits. Columns in which both operands
/// have one shift are a piece, whose sum is exact. A piece's shift is that of x and of the weight's
/// row together, the latter counted from the row's coarsest block; 32 rows of the weight take the
/// smallest that occurs among them as the place of the last bit, with as many bits behind it as the
/// number of columns leaves (6 at 768, none from 33287 on). What of a piece lies below is dropped.
/// Sums of two terms are exact to 61 bits.
///
/// All implementations agree bit for bit, whatever the threads: `reference` is the definition in
/// plain loops, `cpu` is fast.
/// All functions throw ShapeError when extents do not fit together, naming both.
class Integers {
public:
    virtual ~Integers() = default;

    /// Takes over a weight [out, in] for linear() and logits().
    /// @throws UsageError  for more than widest_integer_product columns
    [[nodiscard]] std::unique_ptr<const IntegerWeight> pack(const BlockedMatrix& weight) const;

    /// y = x @ w^T + bias.  x [T, in] of at most 8 bits; bias one row [out] of at most 8 bits, or
    /// null; y [T, out].
    void linear(const BlockedMatrix& x, const IntegerWeight& weight, const BlockedMatrix* bias,
                BlockedMatrix& y) const;

    /// The same sums as numbers of fp32: for what leaves the model.
    void logits(const BlockedMatrix& x, const IntegerWeight& weight, const BlockedMatrix* bias,
                MatrixView<float> y) const;

    /// y[t] = the sum over `terms` of row ids[t] of the table. Up to four terms.
    /// @throws DataError  if an id is not below the rows of its table
    void embed(std::span<const TableRows> terms, BlockedMatrix& y) const;

    /// z = x + y.
    void add(const BlockedMatrix& x, const BlockedMatrix& y, BlockedMatrix& z) const;

    /// The inverse square root comes from integer Newton steps with 16 bits behind the binary
    /// point. Numbers of blocks more than 12 bits finer than a row's coarsest are rounded to that.
    void norm(const BlockedMatrix& x, const IntegerNorm& settings, BlockedMatrix& y) const;

    /// y = f(x). SiLU and GELU are x times a table of 2048 steps over [-16, 16), linear in between,
    /// of 20 bits: 1e-5 absolute in the factor; GELU by erf has a table of its own. tanh is a table
    /// alone, ReLU none.
    void activate(Activation kind, const BlockedMatrix& x, BlockedMatrix& y) const;

    /// y = f(gate) * up. Not for tanh.
    void activate_multiply(Activation kind, const BlockedMatrix& gate, const BlockedMatrix& up,
                           BlockedMatrix& y) const;

    /// Rotates pairs (i, i + r/2) of the first r = 2 * cos.cols elements of each head, which is a
    /// block of x and of y: x, y [T, n_heads * head_dim] with blocks of head_dim. cos and sin
    /// [n_positions, r/2] have 14 bits behind the binary point, positions [T].
    void rope(const BlockedMatrix& x, MatrixView<const std::int16_t> cos,
              MatrixView<const std::int16_t> sin, std::span<const std::uint32_t> positions,
              BlockedMatrix& y) const;

    /// ForwardKernels::attention() on heads that are blocks: q, k, v of at most 8 bits and y with
    /// blocks of head_dim. Scores are fixed point with 16 bits behind the binary point, in
    /// logarithms to the base 2; exponentials have 24 bits, from a table of 256 steps, linear in
    /// between; the shifts of v are folded into them, then 64 keys at a time share a shift and have
    /// 7 bits. Their products with v are aligned as those of linear() are, to the coarsest of the
    /// blocks of keys. The sum of the exponentials divides at the end.
    void attention(const BlockedMatrix& q, const BlockedMatrix& k, const BlockedMatrix& v,
                   const AttentionShape& shape, BlockedMatrix& y) const;

private:
#define LATHE_KERNEL LATHE_PURE_KERNEL
#include "kernels/contract/integers.def"
#undef LATHE_KERNEL
};

}  // namespace lathe::kernels
