#include "kernels/contract/blocked_matrix.hpp"

#include <cmath>

namespace lathe::kernels {
namespace {

/// The largest shift at which `largest` rounds to at most 2^(num_bits-1) - 1.
int shift_of(float largest, unsigned num_bits) {
    if (largest == 0.0F) {
        return most_shift;
    }
    int exponent = 0;
    std::frexp(largest, &exponent);
    const int shift = static_cast<int>(num_bits) - 1 - exponent;
    const double code = std::nearbyint(std::ldexp(static_cast<double>(largest), shift));
    const auto highest = static_cast<double>((1U << (num_bits - 1)) - 1U);
    return std::clamp(code > highest ? shift - 1 : shift, least_shift, most_shift);
}

}  // namespace

void to_blocks(MatrixView<const float> values, BlockedMatrix& blocks) {
    const auto highest = static_cast<double>((1U << (blocks.num_bits - 1)) - 1U);
    for (std::size_t r = 0; r < blocks.rows; ++r) {
        for (std::size_t b = 0; b < blocks.blocks(); ++b) {
            const std::size_t begin = b * blocks.block_size;
            const std::size_t end = std::min(begin + blocks.block_size, blocks.cols);
            float largest = 0.0F;
            for (std::size_t j = begin; j < end; ++j) {
                largest = std::max(largest, std::abs(values(r, j)));
            }
            const int shift = shift_of(largest, blocks.num_bits);
            blocks.shifts[r * blocks.blocks() + b] = static_cast<std::int8_t>(shift);
            for (std::size_t j = begin; j < end; ++j) {
                const double scaled = std::ldexp(static_cast<double>(values(r, j)), shift);
                const double q = std::clamp(std::nearbyint(scaled), -highest, highest);
                if (blocks.is_wide()) {
                    blocks.wide[r * blocks.cols + j] = static_cast<std::int16_t>(q);
                } else {
                    blocks.narrow[r * blocks.cols + j] = static_cast<std::int8_t>(q);
                }
            }
        }
    }
}

void from_blocks(const BlockedMatrix& blocks, MatrixView<float> values) {
    for (std::size_t r = 0; r < blocks.rows; ++r) {
        for (std::size_t j = 0; j < blocks.cols; ++j) {
            values(r, j) = std::ldexp(static_cast<float>(blocks.number(r, j)), -blocks.shift(r, j));
        }
    }
}

}  // namespace lathe::kernels
