#include "workers/coded_matrix.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "kernels/nm_matrix.hpp"
#include "lib/core/errors.hpp"
#include "lib/core/half.hpp"
#include "lib/encoding/bcq.hpp"
#include "lib/encoding/bit_packing.hpp"
#include "lib/encoding/code_parts.hpp"
#include "lib/encoding/integer.hpp"
#include "lib/encoding/nm.hpp"

namespace lathe {
namespace {

kernels::CodedMatrix from_integer(const EncodedTensor& tensor) {
    const auto [rows, cols] = matrix_extents(tensor.shape);
    const auto group_size = static_cast<std::size_t>(tensor.settings.at("group_size"));
    const std::size_t n_groups = groups_per_row(cols, group_size);
    const std::byte* scale_bytes = part(tensor, "scales").bytes.data();
    const bool symmetric = tensor.settings.at("symmetric") != 0;
    const std::byte* zeros = symmetric ? nullptr : part(tensor, "zeros").bytes.data();
    return {rows,
            cols,
            static_cast<unsigned>(tensor.settings.at("num_bits")),
            group_size,
            true,
            !symmetric,
            kernels::LookupTables::fp32,
            [&tensor, scale_bytes, zeros, n_groups](std::size_t row, std::uint8_t* codes,
                                                    float* scales, float* offsets) {
                unpack_codes(tensor, row, codes);
                to_float(scale_bytes + row * n_groups * 2, DType::f16, {scales, n_groups});
                for (std::size_t g = 0; zeros != nullptr && g < n_groups; ++g) {
                    offsets[g] = static_cast<float>(
                        std::to_integer<std::uint8_t>(zeros[row * n_groups + g]));
                }
            }};
}

kernels::CodedMatrix from_bcq(const EncodedTensor& tensor) {
    const BcqLayout layout = bcq_layout(tensor);
    const auto [rows, cols] = matrix_extents(tensor.shape);
    return {rows,
            cols,
            layout.num_bits,
            layout.group_size,
            layout.uniform,
            layout.offset,
            kernels::LookupTables::fp32,
            [&tensor](std::size_t row, std::uint8_t* codes, float* scales, float* offsets) {
                unpack_bcq_codes(tensor, row, codes);
                read_bcq_terms(tensor, row, scales, offsets);
            }};
}

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

kernels::NmMatrix from_nm(const EncodedTensor& tensor) {
    const auto [rows, cols] = matrix_extents(tensor.shape);
    const auto setting = [&](const char* key) {
        return static_cast<std::size_t>(tensor.settings.at(key));
    };
    kernels::NmMatrix matrix{.rows = rows,
                             .cols = cols,
                             .pattern = {setting("n"), setting("m")},
                             .num_bits = static_cast<unsigned>(setting("num_bits")),
                             .binary = setting("binary") != 0,
                             .group_size = setting("group_size"),
                             .read = {}};
    const std::size_t stored = matrix.stored();
    if (matrix.num_bits == 0) {
        const TensorPart& values = part(tensor, "values");
        matrix.value_type = values.dtype;
        matrix.read = [&tensor, &values, stored](std::size_t row, const kernels::NmRow& to) {
            unpack_places(tensor, row, to.keep);
            to_float(values.bytes.data() + row * stored * size_bytes(values.dtype), values.dtype,
                     {to.values, stored});
            if (!std::ranges::all_of(std::span(to.values, stored),
                                     [](float value) { return std::isfinite(value); })) {
                throw DataError("row " + std::to_string(row) + " has NaN or infinite weights");
            }
        };
        return matrix;
    }
    const TensorPart& codes = part(tensor, "codes");
    const TensorPart& scales = part(tensor, "scales");
    const UnpackRow unpack = unpack_row_of(matrix.num_bits);
    const std::size_t n_scales = matrix.groups() * matrix.scales_per_group();
    matrix.read = [&, unpack, stored, n_scales](std::size_t row, const kernels::NmRow& to) {
        unpack_places(tensor, row, to.keep);
        unpack(codes.bytes.data() + row * codes.shape[1] * word_bytes, stored, to.codes);
        to_float(scales.bytes.data() + row * n_scales * 2, DType::f16, {to.scales, n_scales});
    };
    return matrix;
}

template <class Matrix>
std::unique_ptr<const kernels::PackedMatrix> pack_rows(
    const Matrix& matrix, const kernels::Backend& backend,
    const std::optional<std::span<const std::uint32_t>>& rows) {
    return backend.pack(rows ? selected_rows(matrix, *rows) : matrix);
}

}  // namespace

bool can_be_packed(const EncodedTensor& tensor, const kernels::Backend& backend) {
    return tensor.encoding == "integer" || tensor.encoding == "bcq" ||
           (tensor.encoding == "nm" && backend.multiplies_nm());
}

std::unique_ptr<const kernels::PackedMatrix> pack(
    const EncodedTensor& tensor, kernels::LookupTables tables, const kernels::Backend& backend,
    std::optional<std::span<const std::uint32_t>> rows) {
    if (tensor.encoding == "nm") {
        return pack_rows(from_nm(tensor), backend, rows);
    }
    kernels::CodedMatrix matrix =
        tensor.encoding == "bcq" ? from_bcq(tensor) : from_integer(tensor);
    matrix.tables = tables;
    return pack_rows(matrix, backend, rows);
}

}  // namespace lathe
