#pragma once

#include <cstdint>

#include "lib/encoding/encoded_tensor.hpp"
#include "lib/encoding/encoding_table.hpp"

namespace lathe {

/// Encoding "bcq": binary coding. Each weight is a sum of num_bits scales with signs of its own:
///
///     value[i, j] = offset[i, g] + sum over planes p of (bit_p[i, j] ? +1 : -1) * scale[i, g, p],
///     g = j / group_size
///
/// added up in fp32, the offset first, planes in order. A uniform tensor holds the codes of an
/// integer grid plane by plane, bit p of the code in plane p, with one scale and one zero for a
/// group: value = scale * (code - zero), as in "integer" and bit for bit the same.
///
/// Settings: num_bits 1..8, group_size >= 1, uniform 0 or 1, offset 0 or 1.
/// Parts, in the order of their names:
///   offsets float16 [rows, groups], groups = ceil(cols / group_size); if offset and not uniform
///   planes  uint32 [rows, num_bits, ceil(cols / 32)]  column j is bit j mod 32 of word j / 32 of
///           each plane; unused bits are 0
///   scales  float16 [rows, groups, num_bits], or [rows, groups] if uniform
///   zeros   uint8 [rows, groups]; if uniform and offset. Uniform without: zero is 2^(num_bits-1)
///
/// Nothing here is arranged for a kernel: each kernel makes its own order when it loads a tensor.
///
/// Source: Xu et al. 2018, arXiv:1802.00150 (alternating multi-bit codes); Park et al. 2022,
/// arXiv:2206.09557 (the offset, and uniform codes as binary ones).
struct BcqLayout {
    unsigned num_bits = 3;
    std::size_t group_size = 128;
    bool uniform = false;
    bool offset = false;

    [[nodiscard]] std::size_t scales_per_group() const { return uniform ? 1 : num_bits; }
    bool operator==(const BcqLayout&) const = default;
};

/// What encode_bcq() will produce, without its parts: encoding, shape and settings.
[[nodiscard]] EncodedTensor bcq_outline(const Shape& shape, const BcqLayout& layout);

/// Bytes of all parts for a tensor of this shape: exactly what encode_bcq() will produce.
[[nodiscard]] std::uint64_t bcq_bytes(const Shape& shape, const BcqLayout& layout);

/// Packs codes, bit p of a code for plane p.
///   codes    [rows, cols], each below 2^num_bits
///   scales   [rows, groups * scales_per_group], each exactly a finite fp16 number
///   offsets  [rows, groups]: fp16 numbers, or whole numbers below 2^num_bits if uniform; not
///            looked at without `offset`
[[nodiscard]] EncodedTensor encode_bcq(const Shape& shape, const BcqLayout& layout,
                                       MatrixView<const std::uint8_t> codes,
                                       MatrixView<const float> scales,
                                       MatrixView<const float> offsets);

/// The same values as those of a tensor in encoding "integer", uniform. Exact, and its own inverse
/// in content: codes, scales and zeros are taken over as they are.
/// @throws InternalError  for a tensor in another encoding
[[nodiscard]] EncodedTensor bcq_from_integer(const EncodedTensor& integer);

/// The layout of a tensor in this encoding.
[[nodiscard]] BcqLayout bcq_layout(const EncodedTensor& tensor);

/// The codes of a row, put together from its planes. codes [cols]
void unpack_bcq_codes(const EncodedTensor& tensor, std::size_t row, std::uint8_t* codes);

/// What is stored for the groups of a row.
///   scales   [groups * scales_per_group]
///   offsets  [groups]: the zeros if uniform, or 0 if the tensor has neither
void read_bcq_terms(const EncodedTensor& tensor, std::size_t row, float* scales, float* offsets);

[[nodiscard]] EncodingRow bcq_encoding();

}  // namespace lathe
