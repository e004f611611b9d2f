#pragma once

#include <optional>

#include "lib/encoding/integer.hpp"

namespace lathe {

/// The layout of the "integer" tensor that has the same values as `tensor`, bit for bit but for the
/// sign of zeros; none if there is none. Such are, besides "integer" itself:
///   bcq  uniform: its codes; of one plane in 2 bits, since "integer" has no fewer
///   bcq  one plane without offset, scale * (+1 or -1): symmetric, 2 bits, codes 3 and 1
///   nm   integer codes: the same codes, that of 0 in the free places
///   nm   binary codes of one plane: symmetric, 2 bits, codes 3 and 1, free places 2
///   block_shift  with scales of fp16: the same codes
/// Looks at encoding and settings only: a tensor without the bytes of its parts will do.
[[nodiscard]] std::optional<IntegerLayout> integer_form(const EncodedTensor& tensor);

/// That tensor. @pre  integer_form() has one, validate() passed
[[nodiscard]] EncodedTensor to_integer(const EncodedTensor& tensor);

}  // namespace lathe
