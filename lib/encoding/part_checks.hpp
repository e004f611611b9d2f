#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "lib/encoding/encoded_tensor.hpp"

namespace lathe {

// The checks that the validate() functions of all encodings are made of. Each throws DataError with
// a message that begins with `where`.

/// The setting `key`, which must be there and lie in [least, most].
std::int64_t checked_setting(const EncodedTensor& tensor, std::string_view key, std::int64_t least,
                             std::int64_t most, const std::string& where);

/// Exactly these settings, no others and none missing.
void check_setting_names(const EncodedTensor& tensor, std::initializer_list<std::string_view> names,
                         const std::string& where);

/// Exactly these parts, in this order.
void check_part_names(const EncodedTensor& tensor, std::initializer_list<std::string_view> names,
                      const std::string& where);

/// Type, shape and byte count of a part.
void check_part(const TensorPart& part, DType dtype, const Shape& shape, const std::string& where);

/// Every element of an f16 part is a finite number.
void check_finite_halves(const TensorPart& part, const std::string& where);

/// Every element of a u8 part is at most `most`.
void check_bytes_at_most(const TensorPart& part, std::uint8_t most, const std::string& where);

/// Extents whose product, times 8 bytes, fits 64 bits, so that sizes computed from them are true.
void check_extents(const Shape& shape, const std::string& where);

}  // namespace lathe
