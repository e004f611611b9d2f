#pragma once

#include <cstdint>
#include <span>

#include "kernels/backend.hpp"
#include "lib/encoding/encoded_tensor.hpp"

namespace lathe {

/// Whether an encoded tensor is a matrix of codes that Backend::pack() takes: encodings "integer"
/// and "bcq".
[[nodiscard]] bool has_codes(const EncodedTensor& tensor);

/// The tensor as Backend::pack() wants to see it. @pre  has_codes(), and the tensor outlives it
[[nodiscard]] kernels::CodedMatrix coded_matrix(const EncodedTensor& tensor);

/// Some rows of a matrix. @pre  `rows` outlives it
[[nodiscard]] kernels::CodedMatrix selected_rows(const kernels::CodedMatrix& matrix,
                                                 std::span<const std::uint32_t> rows);

}  // namespace lathe
