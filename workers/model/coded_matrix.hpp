#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "kernels/contract/backend.hpp"
#include "lib/encoding/encoded_tensor.hpp"

namespace lathe {

/// Whether products with an encoded tensor can be computed from what is stored of it: its encoding
/// says how (EncodingRow::matrix), and the backend has such products.
[[nodiscard]] bool can_be_packed(const EncodedTensor& tensor, const kernels::Backend& backend);

/// The tensor in the order of the backend's kernels; with `rows` those rows of it.
/// @pre  can_be_packed()
/// @throws DataError  if a stored value is NaN or infinite
[[nodiscard]] std::unique_ptr<const kernels::PackedMatrix> pack(
    const EncodedTensor& tensor, LookupTables tables, const kernels::Backend& backend,
    std::optional<std::span<const std::uint32_t>> rows = std::nullopt);

}  // namespace lathe
