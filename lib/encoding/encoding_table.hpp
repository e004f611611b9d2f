#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "lib/core/coded_matrix.hpp"
#include "lib/encoding/encoded_tensor.hpp"

namespace lathe {

/// What the table knows of an encoding. A new encoding is one pair of files with such a row, one
/// line in encoding_table.cpp and one test.
struct EncodingRow {
    std::string_view name;
    void (*validate)(const EncodedTensor& tensor, const std::string& where);
    void (*decode)(const EncodedTensor& tensor, MatrixView<float> values);
    /// For products with what is stored: a view of the tensor, which must outlive it. Null:
    /// products are made of decoded values.
    /// It may answer with nothing for a tensor whose numbers kernels cannot take.
    std::optional<StoredMatrix> (*matrix)(const EncodedTensor& tensor) = nullptr;
    /// Whether it joins other tensors. validate() and decode() see pieces that are valid.
    bool has_pieces = false;
};

[[nodiscard]] std::span<const EncodingRow> encoding_table();

/// Null: none has the name.
[[nodiscard]] const EncodingRow* find_encoding(std::string_view name);

}  // namespace lathe
