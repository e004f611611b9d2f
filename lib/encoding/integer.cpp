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

constexpr const char* float8_setting = "float8_scales";

}  // namespace

IntegerLayout integer_layout(const EncodedTensor& tensor) {
    return {.num_bits = static_cast<unsigned>(tensor.settings.at("num_bits")),
            .group_size = static_cast<std::size_t>(tensor.settings.at("group_size")),
            .symmetric = tensor.settings.at("symmetric") != 0,
            .float8_scales = tensor.settings.contains(float8_setting)};
}

namespace {

/// Reads the scales and zeros of rows of a valid tensor, which must outlive it.
class GridRows {
public:
    explicit GridRows(const EncodedTensor& tensor)
        : layout_(integer_layout(tensor)),
          n_groups_(groups_per_row(matrix_extents(tensor.shape).second, layout_.group_size)),
          scales_(tensor.parts[1].bytes.data()),
          zeros_(layout_.symmetric ? nullptr : tensor.parts[2].bytes.data()),
          unpack_(unpack_row_of(layout_.num_bits)) {}

    [[nodiscard]] const IntegerLayout& layout() const { return layout_; }
    [[nodiscard]] std::size_t n_groups() const { return n_groups_; }

    /// scales, zeros [n_groups()]
    void read(std::size_t row, float* scales, std::uint8_t* zeros) const {
        if (layout_.float8_scales) {
            const std::byte* codes = scales_ + row * n_groups_;
            std::transform(codes, codes + n_groups_, scales, float8_scale);
        } else {
            to_float(scales_ + row * n_groups_ * 2, DType::f16, {scales, n_groups_});
        }
        if (zeros_ == nullptr) {
            std::fill_n(zeros, n_groups_, middle_code(layout_.num_bits));
        } else if (layout_.float8_scales) {
            const std::size_t words = words_per_row(n_groups_, layout_.num_bits);
            unpack_(zeros_ + row * words * word_bytes, n_groups_, zeros);
        } else {
            std::memcpy(zeros, zeros_ + row * n_groups_, n_groups_);
        }
    }

private:
    IntegerLayout layout_;
    std::size_t n_groups_;
    const std::byte* scales_;
    const std::byte* zeros_;  ///< null: symmetric
    UnpackRow unpack_;
};

// ---- the row of the table --------------------------------------------------------------------

void check_zeros(const TensorPart& zeros, const IntegerLayout& layout, const Shape& grid,
                 const std::string& where) {
    if (layout.float8_scales) {
        check_part(zeros, DType::u32, {grid[0], words_per_row(grid[1], layout.num_bits)}, where);
        check_unused_bits(zeros, "zero", grid[1], layout.num_bits, where);
    } else {
        check_part(zeros, DType::u8, grid, where);
        check_bytes_at_most(zeros, largest_code(layout.num_bits), where);
    }
}

void validate_integer(const EncodedTensor& tensor, const std::string& where) {
    const bool is_float8 = tensor.settings.contains(float8_setting);
    if (is_float8) {
        checked_setting(tensor, float8_setting, 1, 1, where);
        check_setting_names(tensor, {"num_bits", "group_size", "symmetric", float8_setting}, where);
    } else {
        check_setting_names(tensor, {"num_bits", "group_size", "symmetric"}, where);
    }
    checked_setting(tensor, "num_bits", 2, 8, where);
    checked_setting(tensor, "group_size", 1, std::numeric_limits<std::int64_t>::max(), where);
    checked_setting(tensor, "symmetric", 0, 1, where);

    const IntegerLayout layout = integer_layout(tensor);
    const auto [rows, cols] = matrix_extents(tensor.shape);
    const Shape grid{rows, groups_per_row(cols, layout.group_size)};
    if (layout.symmetric) {
        check_part_names(tensor, {"codes", "scales"}, where);
    } else {
        check_part_names(tensor, {"codes", "scales", "zeros"}, where);
        check_zeros(tensor.parts[2], layout, grid, where);
    }
    check_part(tensor.parts[0], DType::u32, {rows, words_per_row(cols, layout.num_bits)}, where);
    check_unused_bits(tensor.parts[0], "code", cols, layout.num_bits, where);
    check_part(tensor.parts[1], is_float8 ? DType::u8 : DType::f16, grid, where);
    if (!is_float8) {
        check_finite_halves(tensor.parts[1], where);
    }
}

void decode_integer(const EncodedTensor& tensor, MatrixView<float> values) {
    const GridRows grid(tensor);
    const IntegerLayout& layout = grid.layout();
    const UnpackRow unpack = unpack_row_of(layout.num_bits);
    const std::size_t row_bytes = words_per_row(values.cols, layout.num_bits) * word_bytes;
    const std::byte* codes = tensor.parts[0].bytes.data();

    std::vector<std::uint8_t> row_codes(values.cols);
    std::vector<float> row_scales(grid.n_groups());
    std::vector<std::uint8_t> row_zeros(grid.n_groups());
    for (std::size_t i = 0; i < values.rows; ++i) {
        unpack(codes + i * row_bytes, values.cols, row_codes.data());
        grid.read(i, row_scales.data(), row_zeros.data());
        for (std::size_t g = 0; g < grid.n_groups(); ++g) {
            const int zero = row_zeros[g];
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
    EncodedTensor outline{.encoding = "integer",
                          .shape = shape,
                          .settings = {{"num_bits", layout.num_bits},
                                       {"group_size", static_cast<std::int64_t>(layout.group_size)},
                                       {"symmetric", layout.symmetric ? 1 : 0}},
                          .parts = {}};
    if (layout.float8_scales) {
        outline.settings[float8_setting] = 1;
    }
    return outline;
}

std::uint64_t integer_bytes(const Shape& shape, const IntegerLayout& layout) {
    check_layout(layout);
    const auto [rows, cols] = matrix_extents(shape);
    const std::size_t groups = groups_per_row(cols, layout.group_size);
    const std::uint64_t zeros = layout.symmetric ? 0
                                : layout.float8_scales
                                    ? words_per_row(groups, layout.num_bits) * word_bytes
                                    : groups;
    return rows * (words_per_row(cols, layout.num_bits) * word_bytes +
                   groups * (layout.float8_scales ? 1 : 2) + zeros);
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
    tensor.parts.push_back(layout.float8_scales ? pack_float8_scales(scales) : pack_scales(scales));
    if (!layout.symmetric) {
        check_matrix("zeros", zeros, rows, groups);
        tensor.parts.push_back(pack_zeros(zeros, layout.num_bits));
        if (layout.float8_scales) {
            TensorPart& part = tensor.parts.back();
            const auto* codes_of = reinterpret_cast<const std::uint8_t*>(part.bytes.data());
            part = pack_symbols("zeros", {codes_of, rows, groups}, layout.num_bits);
        }
    }
    return tensor;
}

void unpack_codes(const EncodedTensor& tensor, std::size_t row, std::uint8_t* codes) {
    const IntegerLayout layout = integer_layout(tensor);
    const auto [rows, cols] = matrix_extents(tensor.shape);
    if (row >= rows) {
        throw ShapeError("row " + std::to_string(row) + " of a tensor of " + std::to_string(rows));
    }
    const std::size_t row_bytes = words_per_row(cols, layout.num_bits) * word_bytes;
    unpack_row_of(layout.num_bits)(tensor.parts[0].bytes.data() + row * row_bytes, cols, codes);
}

void read_grid(const EncodedTensor& tensor, std::size_t row, float* scales, std::uint8_t* zeros) {
    GridRows(tensor).read(row, scales, zeros);
}

namespace {

std::optional<StoredMatrix> integer_matrix(const EncodedTensor& tensor) {
    const auto [rows, cols] = matrix_extents(tensor.shape);
    const GridRows grid(tensor);
    const IntegerLayout& layout = grid.layout();
    return CodedMatrix{
        rows,
        cols,
        layout.num_bits,
        layout.group_size,
        true,
        !layout.symmetric,
        LookupTables::fp32,
        [&tensor, grid](std::size_t row, std::uint8_t* codes, float* scales, float* offsets) {
            unpack_codes(tensor, row, codes);
            std::vector<std::uint8_t> zeros(grid.n_groups());
            grid.read(row, scales, zeros.data());
            if (!grid.layout().symmetric) {
                std::ranges::copy(zeros, offsets);
            }
        }};
}

}  // namespace

EncodingRow integer_encoding() {
    return {"integer", validate_integer, decode_integer, integer_matrix};
}

}  // namespace lathe
