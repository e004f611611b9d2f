#include <algorithm>
#include <cmath>
#include <cstring>

#include "lib/core/errors.hpp"
#include "lib/core/half.hpp"
#include "lib/encoding/block_shift.hpp"
#include "lib/encoding/block_shift_parts.hpp"
#include "lib/encoding/code_parts.hpp"

// Making tensors in encoding "block_shift".

namespace lathe {
namespace {

/// How far shifts of 6 bits reach above their base.
constexpr int narrow_range = 63;

void check_layout(const BlockShiftLayout& layout) {
    const bool known =
        layout.scale_bits == narrow_shift_bits || layout.scale_bits == 8 || layout.scale_bits == 16;
    if (layout.num_bits < 2 || layout.num_bits > 8 || layout.block_size == 0 || !known) {
        throw ShapeError("a layout of " + std::to_string(layout.num_bits) + " bits, blocks of " +
                         std::to_string(layout.block_size) + " and scales of " +
                         std::to_string(layout.scale_bits) +
                         " bits; 2 to 8 bits, blocks of at least 1 and scales of 6, 8 or 16 bits "
                         "are possible");
    }
}

/// The shifts of scales; of a block of zeros 0.
std::vector<std::int8_t> shifts_of(MatrixView<const float> scales,
                                   const std::vector<std::uint8_t>& is_zero) {
    std::vector<std::int8_t> shifts(scales.rows * scales.cols, 0);
    for (std::size_t i = 0; i < shifts.size(); ++i) {
        if (is_zero[i] != 0) {
            continue;
        }
        const float scale = scales(i / scales.cols, i % scales.cols);
        int exponent = 0;
        const float fraction = std::frexp(scale, &exponent);
        const int shift = 1 - exponent;
        if (fraction != 0.5F || shift < smallest_shift || shift > largest_shift) {
            throw InternalError("scale " + std::to_string(scale) + " is no power of two from 2^" +
                                std::to_string(smallest_shift) + " to 2^" +
                                std::to_string(largest_shift));
        }
        shifts[i] = static_cast<std::int8_t>(shift);
    }
    return shifts;
}

/// q / 2^bits, to nearest, half to even.
int rounded_shift(int q, int bits) {
    return static_cast<int>(std::nearbyint(std::ldexp(static_cast<float>(q), -bits)));
}

/// Codes to be packed, which blocks hold nothing but zeros, and their shifts.
class Blocks {
public:
    Blocks(const BlockShiftLayout& layout, MatrixView<const std::uint8_t> codes)
        : layout_(layout),
          blocks_(groups_per_row(codes.cols, layout.block_size)),
          codes_(codes.rows * codes.cols),
          is_zero_(codes.rows * blocks_, 1),
          view_(codes_.data(), codes.rows, codes.cols) {
        const std::uint8_t middle = middle_code(layout.num_bits);
        for (std::size_t r = 0; r < codes.rows; ++r) {
            for (std::size_t j = 0; j < codes.cols; ++j) {
                if (codes(r, j) == 0) {
                    throw InternalError("row " + std::to_string(r) + " holds the code 0");
                }
                view_(r, j) = codes(r, j);
                if (codes(r, j) != middle) {
                    is_zero_[block_of(r, j)] = 0;
                }
            }
        }
    }

    /// The smallest shift of a block that is not zeros, 0 if all are; blocks finer than it allows
    /// are rounded, and shifts are what is left.
    int make_narrow(std::vector<std::int8_t>& shifts) {
        int base = largest_shift + 1;
        for (std::size_t b = 0; b < shifts.size(); ++b) {
            if (is_zero_[b] == 0) base = std::min(base, int{shifts[b]});
        }
        if (base > largest_shift) base = 0;
        const int middle = middle_code(layout_.num_bits);
        for (std::size_t r = 0; r < view_.rows; ++r) {
            for (std::size_t j = 0; j < view_.cols; ++j) {
                const std::size_t b = block_of(r, j);
                const int excess = is_zero_[b] != 0 ? 0 : shifts[b] - (base + narrow_range);
                if (excess > 0) {
                    const int q = rounded_shift(view_(r, j) - middle, excess);
                    view_(r, j) = static_cast<std::uint8_t>(q + middle);
                }
            }
        }
        for (std::size_t b = 0; b < shifts.size(); ++b) {
            shifts[b] = static_cast<std::int8_t>(
                is_zero_[b] != 0 ? base : std::min(int{shifts[b]}, base + narrow_range));
        }
        return base;
    }

    [[nodiscard]] const std::vector<std::uint8_t>& is_zero() const { return is_zero_; }
    [[nodiscard]] MatrixView<const std::uint8_t> codes() const { return view_; }

private:
    [[nodiscard]] std::size_t block_of(std::size_t r, std::size_t j) const {
        return r * blocks_ + j / layout_.block_size;
    }

    BlockShiftLayout layout_;
    std::size_t blocks_;
    std::vector<std::uint8_t> codes_;
    std::vector<std::uint8_t> is_zero_;  ///< [rows * blocks]
    MatrixView<std::uint8_t> view_;
};

TensorPart wide_part(const std::vector<std::int8_t>& shifts, const BlockExtents& e) {
    TensorPart stored{
        .name = "shifts", .dtype = DType::i8, .shape = {e.rows, e.blocks}, .bytes = {}};
    stored.bytes.resize(shifts.size());
    std::memcpy(stored.bytes.data(), shifts.data(), shifts.size());
    return stored;
}

TensorPart narrow_part(const std::vector<std::int8_t>& shifts, int base) {
    std::vector<std::uint8_t> symbols(shifts.size());
    std::ranges::transform(shifts, symbols.begin(), [&](std::int8_t shift) {
        return static_cast<std::uint8_t>(shift - base);
    });
    return pack_symbols("shifts", {symbols.data(), 1, symbols.size()}, narrow_shift_bits);
}

}  // namespace

int block_shift_of(float largest, unsigned num_bits) {
    return largest == 0.0F ? 0 : fitting_shift(largest, num_bits);
}

std::uint64_t block_shift_bytes(const Shape& shape, const BlockShiftLayout& layout) {
    check_layout(layout);
    const BlockExtents e = block_extents(shape, layout);
    const std::uint64_t codes = e.rows * words_per_row(e.cols, layout.num_bits) * word_bytes;
    const std::size_t element = layout.scale_bits == 8 ? 1 : layout.scale_bits == 16 ? 2 : 4;
    return codes + element_count(scale_shape(e, layout)) * element;
}

EncodedTensor block_shift_outline(const Shape& shape, const BlockShiftLayout& layout) {
    return {.encoding = "block_shift",
            .shape = shape,
            .settings = {{"num_bits", layout.num_bits},
                         {"block_size", static_cast<std::int64_t>(layout.block_size)},
                         {"scale_bits", layout.scale_bits}},
            .parts = {}};
}

EncodedTensor encode_block_shift(const Shape& shape, const BlockShiftLayout& layout,
                                 MatrixView<const std::uint8_t> codes,
                                 MatrixView<const float> scales) {
    check_layout(layout);
    const BlockExtents e = block_extents(shape, layout);
    check_matrix("codes", codes, e.rows, e.cols);
    check_matrix("scales", scales, e.rows, e.blocks);
    EncodedTensor tensor = block_shift_outline(shape, layout);
    Blocks blocks(layout, codes);
    if (!layout.has_shifts()) {
        tensor.parts = {pack_symbols("codes", blocks.codes(), layout.num_bits),
                        pack_scales(scales)};
        return tensor;
    }
    std::vector<std::int8_t> shifts = shifts_of(scales, blocks.is_zero());
    TensorPart stored = wide_part(shifts, e);
    if (layout.scale_bits == narrow_shift_bits) {
        const int base = blocks.make_narrow(shifts);
        tensor.settings["shift_base"] = base;
        stored = narrow_part(shifts, base);
    }
    tensor.parts = {pack_symbols("codes", blocks.codes(), layout.num_bits), std::move(stored)};
    return tensor;
}

EncodedTensor round_to_blocks(const Shape& shape, const BlockShiftLayout& layout,
                              MatrixView<const float> values) {
    check_layout(layout);
    const BlockExtents e = block_extents(shape, layout);
    check_matrix("values", values, e.rows, e.cols);
    const auto highest = static_cast<float>((1U << (layout.num_bits - 1)) - 1U);
    const auto middle = static_cast<float>(middle_code(layout.num_bits));
    std::vector<std::uint8_t> codes(e.rows * e.cols);
    std::vector<float> scales(e.rows * e.blocks);
    for (std::size_t r = 0; r < e.rows; ++r) {
        for (std::size_t b = 0; b < e.blocks; ++b) {
            const std::size_t begin = b * layout.block_size;
            const std::size_t end = std::min(begin + layout.block_size, e.cols);
            float largest = 0.0F;
            for (std::size_t j = begin; j < end; ++j) {
                largest = std::max(largest, std::abs(values(r, j)));
            }
            float scale = std::ldexp(1.0F, -block_shift_of(largest, layout.num_bits));
            if (!layout.has_shifts()) {
                const float rounded = half_to_float(float_to_half(largest / highest));
                scale = std::clamp(rounded, 0x1p-24F, 65504.0F);
            }
            scales[r * e.blocks + b] = scale;
            for (std::size_t j = begin; j < end; ++j) {
                const float q = std::clamp(std::nearbyint(values(r, j) / scale), -highest, highest);
                codes[r * e.cols + j] = static_cast<std::uint8_t>(q + middle);
            }
        }
    }
    return encode_block_shift(shape, layout, {codes.data(), e.rows, e.cols},
                              {scales.data(), e.rows, e.blocks});
}

}  // namespace lathe
