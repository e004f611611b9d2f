#include "kernels/contract/blocked_matrix.hpp"

#include <cmath>

namespace lathe::kernels {
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
            const int shift =
                largest == 0.0F ? most_shift : fitting_shift(largest, blocks.num_bits);
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
