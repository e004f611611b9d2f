#pragma once

#include <span>

#include "lib/encoding/encoded_tensor.hpp"
#include "lib/encoding/encoding_table.hpp"

namespace lathe {

/// Encoding "dense": part "values", in f32, f16 or bf16. The bytes are the source's own where the
/// source has that type.
[[nodiscard]] EncodedTensor encode_dense(MatrixView<const float> values, const Shape& shape,
                                         DType dtype);
/// From bytes already in `dtype`, unchanged.
[[nodiscard]] EncodedTensor dense_from_bytes(std::span<const std::byte> bytes, const Shape& shape,
                                             DType dtype);

/// Such a tensor without its part.
[[nodiscard]] EncodedTensor dense_outline(const Shape& shape);

[[nodiscard]] EncodingRow dense_encoding();

}  // namespace lathe
