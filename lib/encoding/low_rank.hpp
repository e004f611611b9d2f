#pragma once

#include "lib/encoding/encoded_tensor.hpp"
#include "lib/encoding/encoding_table.hpp"

namespace lathe {

/// Encoding "low_rank", of matrices [m, n]: the product of two pieces, left [m, r] and right
/// [r, n], each in an encoding of its own without pieces. Element (i, j) is the sum over k of
/// left(i, k) * right(k, j), added up in fp64 in the order of k and rounded once.
/// @pre  left has as many columns as right has rows
[[nodiscard]] EncodedTensor encode_low_rank(EncodedTensor left, EncodedTensor right);

[[nodiscard]] EncodingRow low_rank_encoding();

}  // namespace lathe
