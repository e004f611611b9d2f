#pragma once

#include "lib/encoding/bit_packing.hpp"
#include "lib/encoding/block_shift.hpp"
#include "lib/encoding/code_parts.hpp"

// What reading and writing of encoding "block_shift" share.

namespace lathe {

/// Bits of a shift that is stored less the tensor's base.
inline constexpr unsigned narrow_shift_bits = 6;

struct BlockExtents {
    std::size_t rows = 0;
    std::size_t cols = 0;
    std::size_t blocks = 0;  ///< of a row
};

[[nodiscard]] inline BlockExtents block_extents(const Shape& shape,
                                                const BlockShiftLayout& layout) {
    const auto [rows, cols] = matrix_extents(shape);
    return {rows, cols, groups_per_row(cols, layout.block_size)};
}

/// Of the part "shifts" or "scales".
[[nodiscard]] inline Shape scale_shape(const BlockExtents& e, const BlockShiftLayout& layout) {
    if (layout.scale_bits == narrow_shift_bits) {
        return {1, words_per_row(e.rows * e.blocks, narrow_shift_bits)};
    }
    return {e.rows, e.blocks};
}

}  // namespace lathe
