#pragma once

#include "lib/encoding/encoded_tensor.hpp"
#include "lib/encoding/encoding_table.hpp"

namespace lathe {

/// Encoding "integer": value = scale * (code - zero), codes of num_bits bits, a scale (and a zero,
/// unless symmetric) for each group of group_size elements along a row.
///
/// Settings: num_bits 2..8, group_size >= 1, symmetric 0 or 1.
/// Parts:
///   codes   uint32 [rows, ceil(cols * num_bits / 32)]  densely packed along the row, little end
///           first: bit b of code j is bit (j * num_bits + b) of the row's words, which may cross
///           a word boundary; unused bits are 0. This is the layout of `pack-quantized` weights.
///   scales  float16 [rows, ceil(cols / group_size)]
///   zeros   uint8, same shape as scales; absent if symmetric (then zero is 2^(num_bits-1))
struct IntegerLayout {
    unsigned num_bits = 4;
    std::size_t group_size = 64;
    bool symmetric = true;
};

/// What encode_integer() will produce, without its parts: encoding, shape and settings.
[[nodiscard]] EncodedTensor integer_outline(const Shape& shape, const IntegerLayout& layout);

/// Bytes of all parts for a tensor of this shape: exactly what encode_integer() will produce.
[[nodiscard]] std::uint64_t integer_bytes(const Shape& shape, const IntegerLayout& layout);

/// Packs codes (each below 2^num_bits), scales (each exactly an fp16 number) and zeros (whole
/// numbers below 2^num_bits). Extents as in kernels/contract/backend.hpp.
[[nodiscard]] EncodedTensor encode_integer(const Shape& shape, const IntegerLayout& layout,
                                           MatrixView<const std::uint8_t> codes,
                                           MatrixView<const float> scales,
                                           MatrixView<const float> zeros);

/// The codes of a row, unpacked.
void unpack_codes(const EncodedTensor& tensor, std::size_t row, std::uint8_t* codes);

[[nodiscard]] EncodingRow integer_encoding();

}  // namespace lathe
