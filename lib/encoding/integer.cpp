#include "lib/encoding/integer.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "lib/core/errors.hpp"
#include "lib/core/half.hpp"
#include "lib/encoding/bit_packing.hpp"
#include "lib/encoding/code_parts.hpp"
#include "lib/encoding/part_checks.hpp"

namespace lathe {
namespace {

IntegerLayout layout_of(const EncodedTensor& tensor) {
    return {.num_bits = static_cast<unsigned>(tensor.settings.at("num_bits")),
            .group_size = static_cast<std::size_t>(tensor.settings.at("group_size")),
            .symmetric = tensor.settings.at("symmetric") != 0};
}

// ---- the row of the table --------------------------------------------------------------------

void validate_integer(const EncodedTensor& tensor, const std::string& where) {
    check_setting_names(tensor, {"num_bits", "group_size", "symmetric"}, where);
    checked_setting(tensor, "num_bits", 2, 8, where);
    checked_setting(tensor, "group_size", 1, std::numeric_limits<std::int64_t>::max(), where);
    checked_setting(tensor, "symmetric", 0, 1, where);

    const IntegerLayout layout = layout_of(tensor);
    const auto [rows, cols] = matrix_extents(tensor.shape);
    const Shape grid{rows, groups_per_row(cols, layout.group_size)};
    if (layout.symmetric) {
        check_part_names(tensor, {"codes", "scales"}, where);
    } else {
        check_part_names(tensor, {"codes", "scales", "zeros"}, where);
        check_part(tensor.parts[2], DType::u8, grid, where);
        check_bytes_at_most(tensor.parts[2], largest_code(layout.num_bits), where);
    }
    check_part(tensor.parts[0], DType::u32, {rows, words_per_row(cols, layout.num_bits)}, where);
    check_unused_bits(tensor.parts[0], "code", cols, layout.num_bits, where);
    check_part(tensor.parts[1], DType::f16, grid, where);
    check_finite_halves(tensor.parts[1], where);
}

void decode_integer(const EncodedTensor& tensor, MatrixView<float> values) {
    const IntegerLayout layout = layout_of(tensor);
    const UnpackRow unpack = unpack_row_of(layout.num_bits);
    const std::size_t row_bytes = words_per_row(values.cols, layout.num_bits) * word_bytes;
    const std::size_t groups = groups_per_row(values.cols, layout.group_size);
    const std::byte* codes = tensor.parts[0].bytes.data();
    const std::byte* scales = tensor.parts[1].bytes.data();
    const std::byte* zeros = layout.symmetric ? nullptr : tensor.parts[2].bytes.data();

    std::vector<std::uint8_t> row_codes(values.cols);
    std::vector<float> row_scales(groups);
    for (std::size_t i = 0; i < values.rows; ++i) {
        unpack(codes + i * row_bytes, values.cols, row_codes.data());
        to_float(scales + i * groups * 2, DType::f16, row_scales);
        for (std::size_t g = 0; g < groups; ++g) {
            const int zero = zeros == nullptr ? middle_code(layout.num_bits)
                                              : std::to_integer<int>(zeros[i * groups + g]);
            const float scale = row_scales[g];
            const std::size_t begin = g * layout.group_size;
            const std::size_t count = std::min(layout.group_size, values.cols - begin);
            const std::uint8_t* from = row_codes.data() + begin;
            float* to = values.row(i) + begin;
            for (std::size_t j = 0; j < count; ++j) {
                to[j] = scale * static_cast<float>(from[j] - zero);
            }
        }
    }
}

void check_layout(const IntegerLayout& layout) {
    if (layout.num_bits < 2 || layout.num_bits > 8 || layout.group_size == 0) {
        throw ShapeError("an integer layout of " + std::to_string(layout.num_bits) +
                         " bits and groups of " + std::to_string(layout.group_size) +
                         "; 2 to 8 bits and groups of at least 1 are possible");
    }
}

}  // namespace

EncodedTensor integer_outline(const Shape& shape, const IntegerLayout& layout) {
    return {.encoding = "integer",
            .shape = shape,
            .settings = {{"num_bits", layout.num_bits},
                         {"group_size", static_cast<std::int64_t>(layout.group_size)},
                         {"symmetric", layout.symmetric ? 1 : 0}},
            .parts = {}};
}

std::uint64_t integer_bytes(const Shape& shape, const IntegerLayout& layout) {
    check_layout(layout);
    const auto [rows, cols] = matrix_extents(shape);
    const std::uint64_t bytes_per_group = layout.symmetric ? 2 : 3;
    return rows * (words_per_row(cols, layout.num_bits) * word_bytes +
                   groups_per_row(cols, layout.group_size) * bytes_per_group);
}

EncodedTensor encode_integer(const Shape& shape, const IntegerLayout& layout,
                             MatrixView<const std::uint8_t> codes, MatrixView<const float> scales,
                             MatrixView<const float> zeros) {
    check_layout(layout);
    const auto [rows, cols] = matrix_extents(shape);
    const std::size_t groups = groups_per_row(cols, layout.group_size);
    check_matrix("codes", codes, rows, cols);
    check_matrix("scales", scales, rows, groups);
    EncodedTensor tensor = integer_outline(shape, layout);
    tensor.parts.push_back(pack_symbols("codes", codes, layout.num_bits));
    tensor.parts.push_back(pack_scales(scales));
    if (!layout.symmetric) {
        check_matrix("zeros", zeros, rows, groups);
        tensor.parts.push_back(pack_zeros(zeros, layout.num_bits));
    }
    return tensor;
}

void unpack_codes(const EncodedTensor& tensor, std::size_t row, std::uint8_t* codes) {
    const IntegerLayout layout = layout_of(tensor);
    const auto [rows, cols] = matrix_extents(tensor.shape);
    if (row >= rows) {
        throw ShapeError("row " + std::to_string(row) + " of a tensor of " + std::to_string(rows));
    }
    const std::size_t row_bytes = words_per_row(cols, layout.num_bits) * word_bytes;
    unpack_row_of(layout.num_bits)(tensor.parts[0].bytes.data() + row * row_bytes, cols, codes);
}

namespace {

std::optional<StoredMatrix> integer_matrix(const EncodedTensor& tensor) {
    const auto [rows, cols] = matrix_extents(tensor.shape);
    const auto group_size = static_cast<std::size_t>(tensor.settings.at("group_size"));
    const std::size_t n_groups = groups_per_row(cols, group_size);
    const std::byte* scale_bytes = part(tensor, "scales").bytes.data();
    const bool symmetric = tensor.settings.at("symmetric") != 0;
    const std::byte* zeros = symmetric ? nullptr : part(tensor, "zeros").bytes.data();
    return CodedMatrix{
        rows,
        cols,
        static_cast<unsigned>(tensor.settings.at("num_bits")),
        group_size,
        true,
        !symmetric,
        LookupTables::fp32,
        [&tensor, scale_bytes, zeros, n_groups](std::size_t row, std::uint8_t* codes, float* scales,
                                                float* offsets) {
            unpack_codes(tensor, row, codes);
            to_float(scale_bytes + row * n_groups * 2, DType::f16, {scales, n_groups});
            for (std::size_t g = 0; zeros != nullptr && g < n_groups; ++g) {
                offsets[g] =
                    static_cast<float>(std::to_integer<std::uint8_t>(zeros[row * n_groups + g]));
            }
        }};
}

}  // namespace

EncodingRow integer_encoding() {
    return {"integer", validate_integer, decode_integer, integer_matrix};
}

}  // namespace lathe
