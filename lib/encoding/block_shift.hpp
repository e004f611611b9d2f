#pragma once

#include "lib/core/block_shift_rule.hpp"
#include "lib/encoding/encoded_tensor.hpp"
#include "lib/encoding/encoding_table.hpp"

namespace lathe {

/// Encoding "block_shift": whole numbers of num_bits bits, symmetric about 0, and one scale for
/// each block of block_size elements along a row, as a rule a power of two: value = q * 2^-shift,
/// q = code - 2^(num_bits-1), so that products and sums of such tensors need shifts alone. For
/// tensors of any shape; the last block of a row may be short. A block of zeros has shift 0.
///
/// Settings: num_bits 2..8, block_size >= 1, scale_bits 6, 8 or 16; for 6 also shift_base, a shift.
/// Parts:
///   codes   uint32 [rows, ceil(cols * num_bits / 32)]  as in "integer"; code 0 is not used
/// and, by scale_bits, in the order of the blocks, row after row:
///   8   shifts  int8 [rows, blocks], blocks = ceil(cols / block_size)
///   6   shifts  uint32 [1, ceil(rows * blocks * 6 / 32)]: shift - shift_base, 6 bits each, one
///               packed row for the whole tensor. shift_base is the smallest shift of a block that
///               is not zeros; a block finer than shift_base + 63 is rounded to that shift.
///   16  scales  float16 [rows, blocks]: value = q * scale
///
/// Source: blockwise quantisation by shifts, arXiv:2304.01483. The paper gives no layout; this one
/// is ours.
struct BlockShiftLayout {
    unsigned num_bits = 8;
    std::size_t block_size = 64;
    unsigned scale_bits = 8;

    [[nodiscard]] bool has_shifts() const { return scale_bits != 16; }
    bool operator==(const BlockShiftLayout&) const = default;
};

/// fitting_shift() of a block's largest magnitude; 0 for 0.
[[nodiscard]] int block_shift_of(float largest, unsigned num_bits);

/// What encode_block_shift() will produce, without its parts: encoding, shape and settings, but for
/// a shift_base, which only the values say.
[[nodiscard]] EncodedTensor block_shift_outline(const Shape& shape, const BlockShiftLayout& layout);

/// Bytes of all parts for a tensor of this shape: exactly what encode_block_shift() will produce.
[[nodiscard]] std::uint64_t block_shift_bytes(const Shape& shape, const BlockShiftLayout& layout);

/// Packs codes and scales. The scale of a block of zeros is not looked at.
///   codes   [rows, cols], 1 .. 2^num_bits - 1
///   scales  [rows, blocks]: powers of two with a shift in range, or fp16 numbers
/// @throws InternalError  for codes and scales that are none
[[nodiscard]] EncodedTensor encode_block_shift(const Shape& shape, const BlockShiftLayout& layout,
                                               MatrixView<const std::uint8_t> codes,
                                               MatrixView<const float> scales);

/// Rounds values to nearest (half to even), each block at its block_shift_of(). For scales of fp16:
/// the smallest that reaches the block's largest value.
[[nodiscard]] EncodedTensor round_to_blocks(const Shape& shape, const BlockShiftLayout& layout,
                                            MatrixView<const float> values);

/// The layout of a tensor in this encoding.
[[nodiscard]] BlockShiftLayout block_shift_layout(const EncodedTensor& tensor);

/// The whole numbers q of a row. q [cols]
void read_block_row(const EncodedTensor& tensor, std::size_t row, std::int8_t* q);

/// The shifts of all blocks, [rows * blocks]. @pre  has_shifts()
[[nodiscard]] std::vector<std::int8_t> read_shifts(const EncodedTensor& tensor);

[[nodiscard]] EncodingRow block_shift_encoding();

}  // namespace lathe
