#include "workers/model/coded_matrix.hpp"

#include "lib/core/errors.hpp"
#include "lib/encoding/encoding_table.hpp"

namespace lathe {
namespace {

/// Rows of a matrix for the kernels; `Matrix` is one of their structs.
template <class Matrix>
Matrix selected_rows(const Matrix& matrix, std::span<const std::uint32_t> rows) {
    Matrix selected = matrix;
    selected.rows = rows.size();
    selected.read = [read = matrix.read, rows](std::size_t row, auto&&... to) {
        read(rows[row], to...);
    };
    return selected;
}

/// Of the encoding; none: the tensor is decoded before products.
std::optional<StoredMatrix> matrix_of(const EncodedTensor& tensor) {
    const EncodingRow* row = find_encoding(tensor.encoding);
    return row == nullptr || row->matrix == nullptr ? std::nullopt : row->matrix(tensor);
}

}  // namespace

bool can_be_packed(const EncodedTensor& tensor, const kernels::Backend& backend) {
    const auto matrix = matrix_of(tensor);
    return matrix && (std::holds_alternative<CodedMatrix>(*matrix) || backend.multiplies_nm());
}

std::unique_ptr<const kernels::PackedMatrix> pack(
    const EncodedTensor& tensor, LookupTables tables, const kernels::Backend& backend,
    std::optional<std::span<const std::uint32_t>> rows) {
    std::optional<StoredMatrix> stored = matrix_of(tensor);
    if (!stored) {
        throw InternalError("encoding '" + tensor.encoding +
                            "' has no products with what it stores");
    }
    if (auto* coded = std::get_if<CodedMatrix>(&*stored)) {
        coded->tables = tables;
    }
    return std::visit(
        [&](const auto& whole) { return backend.pack(rows ? selected_rows(whole, *rows) : whole); },
        *stored);
}

}  // namespace lathe
