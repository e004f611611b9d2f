#pragma once

#include "lib/encoding/encoded_tensor.hpp"
#include "lib/encoding/encoding_table.hpp"

namespace lathe {

/// Encoding "integer": value = scale * (code - zero), codes of num_bits bits, a scale (and a zero,
/// unless symmetric) for each group of group_size elements along a row.
///
/// Settings: num_bits 2..8, group_size >= 1, symmetric 0 or 1, and float8_scales 1 or not there.
/// Parts:
///   codes   uint32 [rows, ceil(cols * num_bits / 32)]  densely packed along the row, little end
///           first: bit b of code j is bit (j * num_bits + b) of the row's words, which may cross
///           a word boundary; unused bits are 0. This is the layout of `pack-quantized` weights.
///   scales  float16 [rows, ceil(cols / group_size)]
///   zeros   uint8, same shape as scales; absent if symmetric (then zero is 2^(num_bits-1))
/// With float8_scales these two take fewer bytes:
///   scales  uint8: scale = 2^(code / 16 - 14) * (1 + code mod 16 / 16), 2^-14 to 3.875
///   zeros   uint32 [rows, ceil(groups * num_bits / 32)]  packed as codes are
struct IntegerLayout {
    unsigned num_bits = 4;
    std::size_t group_size = 64;
    bool symmetric = true;
    bool float8_scales = false;
};

/// Of a tensor in encoding "integer".
[[nodiscard]] IntegerLayout integer_layout(const EncodedTensor& tensor);

/// What encode_integer() will produce, without its parts: encoding, shape and settings.
[[nodiscard]] EncodedTensor integer_outline(const Shape& shape, const IntegerLayout& layout);

/// Bytes of all parts for a tensor of this shape: exactly what encode_integer() will produce.
[[nodiscard]] std::uint64_t integer_bytes(const Shape& shape, const IntegerLayout& layout);

/// Packs codes (each below 2^num_bits), scales (each exactly a number of the layout's kind) and
/// zeros (whole numbers below 2^num_bits). Extents as in kernels/contract/backend.hpp.
[[nodiscard]] EncodedTensor encode_integer(const Shape& shape, const IntegerLayout& layout,
                                           MatrixView<const std::uint8_t> codes,
                                           MatrixView<const float> scales,
                                           MatrixView<const float> zeros);

/// The codes of a row, unpacked.
void unpack_codes(const EncodedTensor& tensor, std::size_t row, std::uint8_t* codes);

/// Scales [groups] and zeros [groups] of a row.
void read_grid(const EncodedTensor& tensor, std::size_t row, float* scales, std::uint8_t* zeros);

[[nodiscard]] EncodingRow integer_encoding();

}  // namespace lathe
