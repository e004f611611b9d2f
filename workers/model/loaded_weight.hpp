#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "kernels/contract/backend.hpp"
#include "lib/encoding/encoded_tensor.hpp"

namespace lathe {

struct WeightInPieces;

/// A weight in backend memory: fp32 values, what is stored packed for the backend's kernels, or
/// pieces that are one or the other.
struct Weight {
    MatrixView<const float> values;  ///< empty if packed or in pieces
    const kernels::PackedMatrix* packed = nullptr;
    const WeightInPieces* pieces = nullptr;

    [[nodiscard]] std::size_t rows() const;
    [[nodiscard]] std::size_t cols() const;
};

/// A weight and the memory it lies in.
struct LoadedWeight {
    kernels::Array<float> values;
    std::size_t rows = 0;
    std::size_t cols = 0;
    std::unique_ptr<const kernels::PackedMatrix> packed = nullptr;
    std::unique_ptr<const WeightInPieces> pieces = nullptr;

    [[nodiscard]] Weight view() const;
    /// Memory that it takes.
    [[nodiscard]] std::size_t size_bytes() const;
};

/// A weight [rows, cols] as its encoding has it: split or low rank.
struct WeightInPieces {
    /// rows: one piece below another; columns: side by side; factors: left, then right.
    enum class Kind { rows, columns, factors };
    struct Piece {
        std::size_t begin = 0;  ///< its first row or column
        LoadedWeight weight;
    };
    Kind kind = Kind::rows;
    std::size_t rows = 0;
    std::size_t cols = 0;
    /// Columns of zeros are left out, unless all are. Rows of zeros, and all, are a piece of one
    /// column, which reads the first of its inputs.
    std::vector<Piece> pieces;
};

/// The tensor in the order of the backend's kernels. What cannot be multiplied as it is stored is
/// decoded.
/// @throws DataError  if a stored value is NaN or infinite
[[nodiscard]] LoadedWeight load_stored(const EncodedTensor& tensor, LookupTables tables,
                                       const kernels::Backend& backend);

}  // namespace lathe
