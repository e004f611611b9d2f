#include "workers/model/loaded_weight.hpp"

#include <vector>

#include "lib/core/errors.hpp"
#include "lib/encoding/encoding_table.hpp"
#include "lib/encoding/split.hpp"
#include "workers/model/coded_matrix.hpp"

namespace lathe {
namespace {

using Kind = WeightInPieces::Kind;

bool is_zeros(const EncodedTensor& tensor) {
    return tensor.encoding == "zeros";
}

LoadedWeight decoded(const EncodedTensor& tensor, const kernels::Backend& backend) {
    const auto [rows, cols] = matrix_extents(tensor.shape);
    LoadedWeight weight{backend.allocate<float>(rows * cols), rows, cols};
    std::vector<float> values(rows * cols);
    decode(tensor, {values.data(), rows, cols});
    const MatrixView<float> view = weight.values.matrix(rows, cols);
    backend.upload(reinterpret_cast<const std::byte*>(values.data()), DType::f32, view);
    if (!backend.all_finite(view)) {
        throw DataError("a piece in encoding '" + tensor.encoding + "' has NaN or infinite values");
    }
    return weight;
}

Kind kind_of(const EncodedTensor& tensor) {
    if (tensor.encoding != "split") {
        return Kind::factors;
    }
    return split_axis(tensor) == SplitAxis::rows ? Kind::rows : Kind::columns;
}

LoadedWeight load_pieces(const EncodedTensor& tensor, LookupTables tables,
                         const kernels::Backend& backend) {
    const auto [rows, cols] = matrix_extents(tensor.shape);
    auto joined = std::make_unique<WeightInPieces>();
    joined->kind = kind_of(tensor);
    joined->rows = rows;
    joined->cols = cols;
    std::size_t begin = 0;
    for (const EncodedTensor& piece : tensor.pieces) {
        if (!is_zeros(piece)) {
            joined->pieces.push_back({begin, load_stored(piece, tables, backend)});
        } else if (joined->kind == Kind::rows) {
            joined->pieces.push_back(
                {begin, {backend.allocate<float>(piece.shape[0]), piece.shape[0], 1}});
        }
        begin += piece.shape[joined->kind == Kind::rows ? 0 : 1];
    }
    if (joined->pieces.empty()) {
        joined->pieces.push_back({0, {backend.allocate<float>(rows), rows, 1}});
    }
    return {{}, rows, cols, nullptr, std::move(joined)};
}

}  // namespace

std::size_t Weight::rows() const {
    return packed ? packed->rows() : pieces ? pieces->rows : values.rows;
}

std::size_t Weight::cols() const {
    return packed ? packed->cols() : pieces ? pieces->cols : values.cols;
}

Weight LoadedWeight::view() const {
    if (packed || pieces) {
        return {{}, packed.get(), pieces.get()};
    }
    return {values.matrix(rows, cols), nullptr, nullptr};
}

std::size_t LoadedWeight::size_bytes() const {
    std::size_t bytes = values.size() * sizeof(float);
    if (packed) {
        bytes += packed->size_bytes();
    }
    if (pieces) {
        for (const auto& [begin, piece] : pieces->pieces) {
            bytes += piece.size_bytes();
        }
    }
    return bytes;
}

LoadedWeight load_stored(const EncodedTensor& tensor, LookupTables tables,
                         const kernels::Backend& backend) {
    if (!tensor.pieces.empty()) {
        return load_pieces(tensor, tables, backend);
    }
    if (!can_be_packed(tensor, backend)) {
        return decoded(tensor, backend);
    }
    auto packed = pack(tensor, tables, backend);
    const std::size_t rows = packed->rows();
    const std::size_t cols = packed->cols();
    return {{}, rows, cols, std::move(packed)};
}

}  // namespace lathe
