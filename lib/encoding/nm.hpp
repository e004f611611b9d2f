#pragma once

#include "lib/encoding/encoded_tensor.hpp"
#include "lib/encoding/encoding_table.hpp"

namespace lathe {

/// Encoding "nm": N:M sparsity. n of each group of m consecutive columns of a row are stored, in
/// ascending order of their columns, as floating numbers or as codes; the others are 0.
///
/// Settings: n, m with 1 <= n <= m <= 64, m divides the columns; num_bits 0 (floating numbers), or
/// bits of a code: 2..8 of integer codes (binary 0), 1..4 of binary ones (binary 1); group_size:
/// columns of the tensor that share their scales, a multiple of m; 0 without codes.
/// Parts, in the order of their names:
///   values  float32, float16 or bfloat16 [rows, stored], stored = cols / m * n; if num_bits is 0
///   codes   uint32 [rows, ceil(stored * num_bits / 32)] else, packed as in "integer"; the value is
///           scale * (code - 2^(num_bits-1)), or if binary the sum over p of (bit p of the code ?
///           +1 : -1) * scale[p], as in "bcq", added up in fp32 from p = 0
///   meta    uint32 [rows, ceil(bits / 32)], a string of bits along the row, little end first:
///           2:4    4 bits a group, i0 | i1 << 2 with i0 < i1 the two columns: what sparse tensor
///                  cores take (two groups to a byte, the first in the low half)
///           1:4    2 bits a group: the column
///           other  1 bit a column: 1 where it is stored; for m = 8 a byte to a group
///   scales  float16 [rows, groups], groups = ceil(cols / group_size), or if binary [rows, groups,
///           num_bits]; only with codes
struct NmLayout {
    std::size_t n = 2;
    std::size_t m = 4;
    unsigned num_bits = 0;
    std::size_t group_size = 0;
    DType value_type = DType::f16;  ///< without codes
    bool binary = false;

    [[nodiscard]] std::size_t scales_per_group() const { return binary ? num_bits : 1; }
    /// Its kind of codes: name, least and most bits.
    [[nodiscard]] std::string code_name() const { return binary ? "binary" : "integer"; }
    [[nodiscard]] unsigned fewest_bits() const { return binary ? 1 : 2; }
    [[nodiscard]] unsigned most_bits() const { return binary ? 4 : 8; }
};

/// "" if a tensor of this shape can have the layout, or the reason why not.
[[nodiscard]] std::string nm_refuses(const Shape& shape, const NmLayout& layout);

/// Bytes of all parts for a tensor of this shape: exactly what the functions below will produce.
[[nodiscard]] std::uint64_t nm_bytes(const Shape& shape, const NmLayout& layout);

/// Bits of the part `meta` per column, before rows are filled up to 32 bits.
[[nodiscard]] double nm_meta_bits(const NmLayout& layout);

/// Stores the values at the places where keep is 1, at most n in a group. Where there are fewer,
/// the highest free columns are stored as well (as the packers of sparse tensor cores do); they
/// must be 0.
///   keep, values [rows, cols]
[[nodiscard]] EncodedTensor encode_nm_values(const Shape& shape, const NmLayout& layout,
                                             MatrixView<const std::uint8_t> keep,
                                             MatrixView<const float> values);
/// The same for codes; places that fill up a group must have the code of 0, and binary codes, of
/// which none is 0, must leave nothing to fill up.
///   keep, codes [rows, cols]; scales [rows, groups * scales_per_group], each exactly an fp16
///   number
[[nodiscard]] EncodedTensor encode_nm_codes(const Shape& shape, const NmLayout& layout,
                                            MatrixView<const std::uint8_t> keep,
                                            MatrixView<const std::uint8_t> codes,
                                            MatrixView<const float> scales);

/// The places that are stored in a row: keep = 1 at n columns of each m. keep [cols]
void unpack_places(const EncodedTensor& tensor, std::size_t row, std::uint8_t* keep);

[[nodiscard]] EncodingRow nm_encoding();

}  // namespace lathe
