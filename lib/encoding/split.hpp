#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "lib/encoding/encoded_tensor.hpp"
#include "lib/encoding/encoding_table.hpp"

namespace lathe {

enum class SplitAxis : std::int64_t { rows = 0, columns = 1 };

/// Encoding "split", of matrices: the pieces stand one below another (setting axis: 0) or side by
/// side (axis: 1), in order. Each is a matrix in an encoding of its own, any but "split".
/// @pre  the pieces agree in the other extent
[[nodiscard]] EncodedTensor encode_split(SplitAxis axis, std::vector<EncodedTensor> pieces);

[[nodiscard]] SplitAxis split_axis(const EncodedTensor& split);

/// Rows [begin, begin + count) of a split by rows, as a split: none if a piece has rows inside and
/// outside.
[[nodiscard]] std::optional<EncodedTensor> whole_pieces(const EncodedTensor& split,
                                                        std::size_t begin, std::size_t count);

[[nodiscard]] EncodingRow split_encoding();

}  // namespace lathe
