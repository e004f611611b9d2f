#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/contract/kernel_list.hpp"
#include "lib/core/matrix_view.hpp"

namespace lathe::kernels {

/// An integer grid. Element j of a row belongs to group j / group_size (the last group may be
/// short). Its value is scale * (code - zero), with codes 0 .. 2^num_bits - 1. A symmetric grid has
/// zero = 2^(num_bits - 1) everywhere and never uses code 0, so that it is symmetric about zero
/// (2 bits: -1, 0, 1).
struct IntegerGridSettings {
    unsigned num_bits = 4;        ///< 2 .. 8
    std::size_t group_size = 64;  ///< elements along a row that share a scale
    bool symmetric = true;
    /// Scales are powers of two, 2^-100 to 2^100, and fp16 numbers otherwise.
    bool powers_of_two = false;
    /// A group's range is the whole of it; else the best of some that are shrunk.
    bool whole_range = false;
    /// Significant bits of scales that are fp16 numbers, 1 .. 11: with 8 they are bfloat16 numbers
    /// as well.
    unsigned scale_bits = 11;
    /// Scales are numbers of 8 bits instead: float8_scale_bits significant bits, from
    /// smallest_float8_scale to largest_float8_scale. These are fp16 numbers too.
    bool float8_scales = false;
};

/// Four bits of exponent and four of fraction, no sign, no zero.
inline constexpr unsigned float8_scale_bits = 5;
inline constexpr float smallest_float8_scale = 0x1p-14F;
inline constexpr float largest_float8_scale = 0x1.Fp1F;

[[nodiscard]] inline std::size_t group_count(std::size_t cols, std::size_t group_size) {
    return (cols + group_size - 1) / group_size;
}

/// A binary coding. Element j of a row belongs to group j / group_size (the last group may be
/// short). Its value is offset + sum over p of (bit p of its code ? +1 : -1) * scale_p, added up in
/// fp32 in this order: the 2^num_bits levels of its group. Scales and offsets are fp16 numbers.
struct BinaryCodeSettings {
    unsigned num_bits = 3;         ///< 1 .. 4
    std::size_t group_size = 128;  ///< elements along a row that share scales and an offset
    bool offset = false;           ///< else offsets are 0
    std::size_t n_rounds = 15;     ///< of fit_binary_codes()
};

/// Where a binary coding of a matrix [rows, cols] lies.
struct BinaryCodes {
    MatrixView<float> scales;        ///< [rows, group_count * num_bits]
    MatrixView<float> offsets;       ///< [rows, group_count]
    MatrixView<std::uint8_t> codes;  ///< [rows, cols]
};

/// Rounding of weights on integer grids and to binary codings. Part of Backend, which says what
/// holds for all kernels.
class RoundingKernels {
public:
    /// Chooses scale and zero for each group of each row, minimising
    /// sum_j importance[j] * (w_j - rounded w_j)^2 over shrunk ranges of the group: factors
    /// 1.00, 0.98, ... 0.30 of its largest magnitude (symmetric) or of its range, which always
    /// includes 0 (not symmetric). Of equal errors the larger range wins; with whole_range there is
    /// the factor 1.00 only. Scales are rounded to fp16, and then to scale_bits or float8_scales,
    /// before they are tried (never below 2^-24 or above 65504), or up to a power of two: on a
    /// symmetric grid the smallest that brings the range within half a step of the largest code.
    /// Zeros are whole codes.
    ///   w [rows, cols]; importance [cols] >= 0; scales, zeros [rows, group_count]
    void fit_integer_grid(MatrixView<const float> w, std::span<const float> importance,
                          const IntegerGridSettings& settings, MatrixView<float> scales,
                          MatrixView<float> zeros) const;

    /// Round to nearest (ties to even) on a given grid: codes and their values.
    ///   w, values [rows, cols] (values may be w), codes [rows, cols]. Exact.
    void round_to_grid(MatrixView<const float> w, const IntegerGridSettings& settings,
                       MatrixView<const float> scales, MatrixView<const float> zeros,
                       MatrixView<std::uint8_t> codes, MatrixView<float> values) const;

    /// GPTQ: quantises column by column in the given order, adding each column's error to the
    /// columns still to come. With an empty `order` columns go left to right and each group's grid
    /// is fitted to the weights as they stand when its first column comes up; with an order (a
    /// permutation of the columns, on the host) all grids are fitted to the original weights.
    ///   w          [rows, cols]  in: weights; out: values of the chosen codes
    ///   factor     [cols, cols]  inverse_factor of the Gram matrix, rows and columns in `order`
    ///   importance [cols]        diagonal of the Gram matrix, in the columns' own order
    ///   codes      [rows, cols]  out, in the columns' own order
    /// Columns are taken in blocks of 128; the block size changes rounding only.
    /// Source: Frantar et al. 2022, arXiv:2210.17323, algorithm 1.
    void gptq(MatrixView<float> w, MatrixView<const float> factor,
              std::span<const float> importance, std::span<const std::uint32_t> order,
              const IntegerGridSettings& settings, MatrixView<float> scales,
              MatrixView<float> zeros, MatrixView<std::uint8_t> codes) const;

    /// Coordinate descent on tr((V - W) A (V - W)^T) over the codes and scales of V, each row by
    /// itself. A pass takes the groups of columns left to right; in a group each column gets the
    /// best code for it, then the group the best scale, as fp16, if that is an improvement. Groups
    /// of more than 512 columns keep their scales. Ends early when a pass changes nothing.
    ///   w [rows, cols]; gram A [cols, cols] symmetric, both triangles; columns with A_jj = 0 stay
    ///   keep    empty, or [rows, cols]: where 0 the code stays
    ///   scales  [rows, group_count] in and out; zeros the same shape, in
    ///   codes   [rows, cols] in and out
    ///   values  [rows, cols] out: of the codes
    /// Sums run in fp32 on `cpu`: a choice between nearly equal values may fall the other way.
    void descend_on_grid(MatrixView<const float> w, MatrixView<const float> gram,
                         const IntegerGridSettings& settings, std::size_t n_passes,
                         MatrixView<const std::uint8_t> keep, MatrixView<float> scales,
                         MatrixView<const float> zeros, MatrixView<std::uint8_t> codes,
                         MatrixView<float> values) const;

    /// Binary coding of each group of each row by itself, minimising
    /// sum_j importance[j] * (w_j - value_j)^2. A greedy start takes plane after plane the signs of
    /// what is left (the sign of 0 is +) and its weighted mean magnitude; with more than one round
    /// there is a second start, codes rounded to nearest on a uniform grid over the group's range.
    /// Then n_rounds rounds of scales and offset by least squares, and of the nearest level for
    /// each element, the lower of two equally near ones. At last scales and offset are rounded to
    /// fp16, and the elements once more. The better of the two starts is kept, the greedy one if
    /// they are equal.
    ///   w [rows, cols]; importance [cols] >= 0; codes out
    ///   keep  empty, or [rows, cols]: where 0 the element's importance is 0
    /// Sources: Guo et al. 2017, arXiv:1706.02393 (greedy, refined); Xu et al. 2018,
    /// arXiv:1802.00150 (alternating). Sums are in fp64; ties may fall the other way.
    void fit_binary_codes(MatrixView<const float> w, std::span<const float> importance,
                          const BinaryCodeSettings& settings, MatrixView<const std::uint8_t> keep,
                          const BinaryCodes& codes) const;

    /// The nearest level for each element, the lower of two equally near ones, on given scales and
    /// offsets. w, values [rows, cols]; values may be w; codes.codes out. Exact.
    void round_to_levels(MatrixView<const float> w, const BinaryCodeSettings& settings,
                         const BinaryCodes& codes, MatrixView<float> values) const;

    /// gptq() with a binary coding: when the first column of a group comes up, fit_binary_codes()
    /// chooses the group's levels for the weights as they then stand; each column takes the nearest
    /// level and passes its error on to the columns still to come.
    ///   w       [rows, cols]  in: weights; out: values
    ///   factor  [cols, cols]  inverse_factor of the Gram matrix; importance [cols] its diagonal
    void sweep_binary_codes(MatrixView<float> w, MatrixView<const float> factor,
                            std::span<const float> importance, const BinaryCodeSettings& settings,
                            const BinaryCodes& codes) const;

    /// descend_on_grid() with a binary coding, in and out: in a group each column gets the best
    /// level for it, then the group its best scales and offset together (least squares with the
    /// group's block of the Gram matrix), rounded to fp16, if that is an improvement.
    ///   w [rows, cols]; gram [cols, cols] symmetric, both triangles; values [rows, cols] out
    ///   keep  empty, or [rows, cols]: where 0 the value is 0 and the code stays
    void descend_on_binary_codes(MatrixView<const float> w, MatrixView<const float> gram,
                                 const BinaryCodeSettings& settings, std::size_t n_passes,
                                 MatrixView<const std::uint8_t> keep, const BinaryCodes& codes,
                                 MatrixView<float> values) const;

protected:
    ~RoundingKernels() = default;

private:
#define LATHE_KERNEL LATHE_PURE_KERNEL
#include "kernels/contract/rounding_kernels.def"
#undef LATHE_KERNEL
};

}  // namespace lathe::kernels
