#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "lib/core/block_shift_rule.hpp"
#include "lib/core/matrix_view.hpp"

namespace lathe::kernels {

/// Shifts that are stored. A block of zeros has the largest, so that the smallest of a row is that
/// of its coarsest numbers.
inline constexpr int least_shift = smallest_shift;
inline constexpr int most_shift = largest_shift;

/// A matrix of whole numbers in blocks of a row's neighbours that share a shift:
/// value = q * 2^-shift, |q| <= 2^(num_bits-1) - 1. In host memory; the last block of a row may be
/// short.
struct BlockedMatrix {
    std::size_t rows = 0;
    std::size_t cols = 0;
    std::size_t block_size = 64;
    unsigned num_bits = 8;            ///< 2 .. 16
    std::vector<std::int8_t> narrow;  ///< [rows, cols] of up to 8 bits
    std::vector<std::int16_t> wide;   ///< [rows, cols] of more
    std::vector<std::int8_t> shifts;  ///< [rows, blocks()]

    BlockedMatrix() = default;
    BlockedMatrix(std::size_t rows_, std::size_t cols_, std::size_t block_size_,
                  unsigned num_bits_) {
        reshape(rows_, cols_, block_size_, num_bits_);
    }
    /// Makes room; what it held is lost.
    void reshape(std::size_t rows_, std::size_t cols_, std::size_t block_size_,
                 unsigned num_bits_) {
        rows = rows_;
        cols = cols_;
        block_size = block_size_;
        num_bits = num_bits_;
        narrow.resize(is_wide() ? 0 : rows * cols);
        wide.resize(is_wide() ? rows * cols : 0);
        shifts.resize(rows * blocks());
    }

    [[nodiscard]] bool is_wide() const { return num_bits > 8; }
    /// Of a row.
    [[nodiscard]] std::size_t blocks() const { return (cols + block_size - 1) / block_size; }
    [[nodiscard]] int number(std::size_t r, std::size_t j) const {
        return is_wide() ? int{wide[r * cols + j]} : int{narrow[r * cols + j]};
    }
    [[nodiscard]] int shift(std::size_t r, std::size_t j) const {
        return shifts[r * blocks() + j / block_size];
    }
    /// The smallest of a row. @pre  it has columns
    [[nodiscard]] int coarsest(std::size_t r) const {
        const auto begin = shifts.begin() + static_cast<std::ptrdiff_t>(r * blocks());
        return *std::min_element(begin, begin + static_cast<std::ptrdiff_t>(blocks()));
    }
    /// Memory of numbers and shifts.
    [[nodiscard]] std::size_t size_bytes() const {
        return narrow.size() + 2 * wide.size() + shifts.size();
    }
};

/// Rounds values (half to even) to the shape that `blocks` has, each block at the largest shift at
/// which its largest value fits. @pre  values are finite and [rows, cols]
void to_blocks(MatrixView<const float> values, BlockedMatrix& blocks);

/// The values, each rounded once to fp32 (exact but for the ends of its range).
void from_blocks(const BlockedMatrix& blocks, MatrixView<float> values);

}  // namespace lathe::kernels
