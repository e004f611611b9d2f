#pragma once

#include "lib/encoding/encoded_tensor.hpp"
#include "lib/encoding/encoding_table.hpp"

namespace lathe {

/// Encoding "zeros": all elements are 0; nothing is stored. The piece of a split that is dropped.
[[nodiscard]] EncodedTensor encode_zeros(const Shape& shape);

[[nodiscard]] EncodingRow zeros_encoding();

}  // namespace lathe
