#include "lib/encoding/bcq.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "lib/core/errors.hpp"
#include "lib/core/half.hpp"
#include "lib/encoding/bit_packing.hpp"
#include "lib/encoding/code_parts.hpp"
#include "lib/encoding/integer.hpp"
#include "lib/encoding/part_checks.hpp"

namespace lathe {
namespace {

constexpr unsigned most_planes = 8;

std::size_t plane_words(std::size_t cols) {
    return words_per_row(cols, 1);
}

bool has_offsets(const BcqLayout& layout) {
    return layout.offset && !layout.uniform;
}
bool has_zeros(const BcqLayout& layout) {
    return layout.offset && layout.uniform;
}

void check_layout(const BcqLayout& layout) {
    if (layout.num_bits < 1 || layout.num_bits > most_planes || layout.group_size == 0) {
        throw ShapeError("a bcq layout of " + std::to_string(layout.num_bits) +
                         " planes and groups of " + std::to_string(layout.group_size) +
                         "; 1 to 8 planes and groups of at least 1 are possible");
    }
}

// ---- the row of the table --------------------------------------------------------------------

/// The parts behind the last column of each plane must be 0, as check_unused_bits() wants it of
/// rows: a plane is a row there.
void check_planes(const TensorPart& planes, std::size_t rows, unsigned num_bits, std::size_t cols,
                  const std::string& where) {
    check_part(planes, DType::u32, {rows, num_bits, plane_words(cols)}, where);
    if (cols % 32 == 0) {
        return;
    }
    const std::size_t row_bytes = plane_words(cols) * word_bytes;
    const unsigned used = cols % 32;
    for (std::size_t i = 0; i < rows * num_bits; ++i) {
        std::uint32_t last = 0;
        for (std::size_t b = 0; b < word_bytes; ++b) {
            last |=
                std::to_integer<std::uint32_t>(planes.bytes[(i + 1) * row_bytes - word_bytes + b])
                << (8 * b);
        }
        if (last >> used != 0) {
            throw DataError(where + ": part 'planes' has bits set behind the last column of row " +
                            std::to_string(i / num_bits) + ", plane " +
                            std::to_string(i % num_bits));
        }
    }
}

void validate_bcq(const EncodedTensor& tensor, const std::string& where) {
    check_setting_names(tensor, {"num_bits", "group_size", "uniform", "offset"}, where);
    checked_setting(tensor, "num_bits", 1, most_planes, where);
    checked_setting(tensor, "group_size", 1, std::numeric_limits<std::int64_t>::max(), where);
    checked_setting(tensor, "uniform", 0, 1, where);
    checked_setting(tensor, "offset", 0, 1, where);

    const BcqLayout layout = bcq_layout(tensor);
    const auto [rows, cols] = matrix_extents(tensor.shape);
    const std::size_t groups = groups_per_row(cols, layout.group_size);
    if (has_offsets(layout)) {
        check_part_names(tensor, {"offsets", "planes", "scales"}, where);
        check_part(part(tensor, "offsets"), DType::f16, {rows, groups}, where);
        check_finite_halves(part(tensor, "offsets"), where);
    } else if (has_zeros(layout)) {
        check_part_names(tensor, {"planes", "scales", "zeros"}, where);
        check_part(part(tensor, "zeros"), DType::u8, {rows, groups}, where);
        check_bytes_at_most(part(tensor, "zeros"), largest_code(layout.num_bits), where);
    } else {
        check_part_names(tensor, {"planes", "scales"}, where);
    }
    check_planes(part(tensor, "planes"), rows, layout.num_bits, cols, where);
    const Shape grid = layout.uniform ? Shape{rows, groups} : Shape{rows, groups, layout.num_bits};
    check_part(part(tensor, "scales"), DType::f16, grid, where);
    check_finite_halves(part(tensor, "scales"), where);
}

/// The codes of a row; `plane` has room for its columns.
void read_codes(const std::byte* planes, unsigned num_bits, std::size_t cols, std::uint8_t* plane,
                std::uint8_t* codes) {
    const std::size_t plane_bytes = plane_words(cols) * word_bytes;
    const UnpackRow unpack = unpack_row_of(1);
    std::fill_n(codes, cols, std::uint8_t{0});
    for (unsigned p = 0; p < num_bits; ++p) {
        unpack(planes + p * plane_bytes, cols, plane);
        for (std::size_t j = 0; j < cols; ++j) {
            codes[j] = static_cast<std::uint8_t>(codes[j] | (plane[j] << p));
        }
    }
}

/// Reads a tensor row by row: what a group's codes stand for.
class RowReader {
public:
    explicit RowReader(const EncodedTensor& tensor)
        : layout_(bcq_layout(tensor)),
          planes_(part(tensor, "planes").bytes.data()),
          scales_(part(tensor, "scales").bytes.data()),
          offsets_(has_offsets(layout_) ? part(tensor, "offsets").bytes.data() : nullptr),
          zeros_(has_zeros(layout_) ? part(tensor, "zeros").bytes.data() : nullptr),
          cols_(matrix_extents(tensor.shape).second),
          groups_(groups_per_row(cols_, layout_.group_size)),
          row_scales_(groups_ * layout_.scales_per_group()),
          row_offsets_(groups_),
          plane_(cols_) {}

    [[nodiscard]] const BcqLayout& layout() const { return layout_; }
    [[nodiscard]] std::size_t groups() const { return groups_; }

    /// Scales and offsets (zeros, if uniform) of a row.
    void open(std::size_t row) {
        const std::size_t n = row_scales_.size();
        to_float(scales_ + row * n * 2, DType::f16, row_scales_);
        if (offsets_ != nullptr) {
            to_float(offsets_ + row * groups_ * 2, DType::f16, row_offsets_);
        }
        for (std::size_t g = 0; layout_.uniform && g < groups_; ++g) {
            row_offsets_[g] = static_cast<float>(
                zeros_ == nullptr ? middle_code(layout_.num_bits)
                                  : std::to_integer<std::uint8_t>(zeros_[row * groups_ + g]));
        }
        row_ = row;
    }

    void codes(std::uint8_t* codes) {
        const std::size_t row_bytes = plane_words(cols_) * word_bytes * layout_.num_bits;
        read_codes(planes_ + row_ * row_bytes, layout_.num_bits, cols_, plane_.data(), codes);
    }

    [[nodiscard]] const float* scales(std::size_t g) const {
        return row_scales_.data() + g * layout_.scales_per_group();
    }
    [[nodiscard]] float offset(std::size_t g) const { return row_offsets_[g]; }

    /// levels[c] = the value of code c in group g.
    void levels(std::size_t g, std::array<float, 1U << most_planes>& levels) const {
        const float* scale = scales(g);
        for (unsigned c = 0; c < 1U << layout_.num_bits; ++c) {
            if (layout_.uniform) {
                levels[c] = scale[0] * (static_cast<float>(c) - offset(g));
                continue;
            }
            float value = offset(g);
            for (unsigned p = 0; p < layout_.num_bits; ++p) {
                value += (c >> p & 1U) != 0 ? scale[p] : -scale[p];
            }
            levels[c] = value;
        }
    }

private:
    BcqLayout layout_;
    const std::byte* planes_;
    const std::byte* scales_;
    const std::byte* offsets_;
    const std::byte* zeros_;
    std::size_t cols_;
    std::size_t groups_;
    std::size_t row_ = 0;
    std::vector<float> row_scales_;
    std::vector<float> row_offsets_;  ///< zeros, if uniform
    std::vector<std::uint8_t> plane_;
};

void decode_bcq(const EncodedTensor& tensor, MatrixView<float> values) {
    RowReader reader(tensor);
    std::vector<std::uint8_t> codes(values.cols);
    std::array<float, 1U << most_planes> levels{};
    const std::size_t group_size = reader.layout().group_size;
    for (std::size_t i = 0; i < values.rows; ++i) {
        reader.open(i);
        reader.codes(codes.data());
        for (std::size_t g = 0; g < reader.groups(); ++g) {
            reader.levels(g, levels);
            const std::size_t begin = g * group_size;
            const std::size_t end = begin + std::min(group_size, values.cols - begin);
            for (std::size_t j = begin; j < end; ++j) {
                values(i, j) = levels[codes[j]];
            }
        }
    }
}

// ---- writing ---------------------------------------------------------------------------------

TensorPart pack_planes(MatrixView<const std::uint8_t> codes, unsigned num_bits) {
    const std::size_t words = plane_words(codes.cols);
    TensorPart packed{
        .name = "planes", .dtype = DType::u32, .shape = {codes.rows, num_bits, words}, .bytes = {}};
    packed.bytes.resize(codes.rows * num_bits * words * word_bytes);
    std::vector<std::uint8_t> plane(codes.cols);
    for (std::size_t i = 0; i < codes.rows; ++i) {
        const std::uint8_t* row = codes.row(i);
        if (std::any_of(row, row + codes.cols,
                        [&](std::uint8_t c) { return c > largest_code(num_bits); })) {
            throw InternalError("row " + std::to_string(i) + " holds a code of more than " +
                                std::to_string(num_bits) + " planes");
        }
        for (unsigned p = 0; p < num_bits; ++p) {
            std::transform(row, row + codes.cols, plane.begin(),
                           [p](std::uint8_t c) { return static_cast<std::uint8_t>(c >> p & 1U); });
            pack_row(plane.data(), codes.cols, 1,
                     packed.bytes.data() + (i * num_bits + p) * words * word_bytes);
        }
    }
    return packed;
}

}  // namespace

std::uint64_t bcq_bytes(const Shape& shape, const BcqLayout& layout) {
    check_layout(layout);
    const auto [rows, cols] = matrix_extents(shape);
    const std::uint64_t offset_bytes = has_offsets(layout) ? 2 : has_zeros(layout) ? 1 : 0;
    return rows * (layout.num_bits * plane_words(cols) * word_bytes +
                   groups_per_row(cols, layout.group_size) *
                       (2 * layout.scales_per_group() + offset_bytes));
}

EncodedTensor bcq_outline(const Shape& shape, const BcqLayout& layout) {
    return {.encoding = "bcq",
            .shape = shape,
            .settings = {{"num_bits", layout.num_bits},
                         {"group_size", static_cast<std::int64_t>(layout.group_size)},
                         {"uniform", layout.uniform ? 1 : 0},
                         {"offset", layout.offset ? 1 : 0}},
            .parts = {}};
}

EncodedTensor encode_bcq(const Shape& shape, const BcqLayout& layout,
                         MatrixView<const std::uint8_t> codes, MatrixView<const float> scales,
                         MatrixView<const float> offsets) {
    check_layout(layout);
    const auto [rows, cols] = matrix_extents(shape);
    const std::size_t groups = groups_per_row(cols, layout.group_size);
    check_matrix("codes", codes, rows, cols);
    check_matrix("scales", scales, rows, groups * layout.scales_per_group());
    EncodedTensor tensor = bcq_outline(shape, layout);
    if (layout.offset) {
        check_matrix("offsets", offsets, rows, groups);
    }
    if (has_offsets(layout)) {
        tensor.parts.push_back(pack_scales(offsets));
        tensor.parts.back().name = "offsets";
    }
    tensor.parts.push_back(pack_planes(codes, layout.num_bits));
    tensor.parts.push_back(pack_scales(scales));
    if (!layout.uniform) {
        tensor.parts.back().shape = {rows, groups, layout.num_bits};
    }
    if (has_zeros(layout)) {
        tensor.parts.push_back(pack_zeros(offsets, layout.num_bits));
    }
    return tensor;
}

EncodedTensor bcq_from_integer(const EncodedTensor& integer) {
    if (integer.encoding != "integer") {
        throw InternalError("a tensor in encoding '" + integer.encoding +
                            "' has no integer codes to take over");
    }
    const IntegerLayout grid = integer_layout(integer);
    const BcqLayout layout{.num_bits = grid.num_bits,
                           .group_size = grid.group_size,
                           .uniform = true,
                           .offset = !grid.symmetric};
    const auto [rows, cols] = matrix_extents(integer.shape);
    const std::size_t groups = groups_per_row(cols, layout.group_size);
    std::vector<std::uint8_t> codes(rows * cols);
    std::vector<float> scales(rows * groups);
    std::vector<float> zeros(rows * groups);
    std::vector<std::uint8_t> row_zeros(groups);
    for (std::size_t i = 0; i < rows; ++i) {
        unpack_codes(integer, i, codes.data() + i * cols);
        read_grid(integer, i, scales.data() + i * groups, row_zeros.data());
        std::ranges::copy(row_zeros, zeros.begin() + static_cast<std::ptrdiff_t>(i * groups));
    }
    return encode_bcq(integer.shape, layout, {codes.data(), rows, cols},
                      {scales.data(), rows, groups}, {zeros.data(), rows, groups});
}

BcqLayout bcq_layout(const EncodedTensor& tensor) {
    return {.num_bits = static_cast<unsigned>(tensor.settings.at("num_bits")),
            .group_size = static_cast<std::size_t>(tensor.settings.at("group_size")),
            .uniform = tensor.settings.at("uniform") != 0,
            .offset = tensor.settings.at("offset") != 0};
}

void unpack_bcq_codes(const EncodedTensor& tensor, std::size_t row, std::uint8_t* codes) {
    const auto [rows, cols] = matrix_extents(tensor.shape);
    if (row >= rows) {
        throw ShapeError("row " + std::to_string(row) + " of a tensor of " + std::to_string(rows));
    }
    RowReader reader(tensor);
    reader.open(row);
    reader.codes(codes);
}

void read_bcq_terms(const EncodedTensor& tensor, std::size_t row, float* scales, float* offsets) {
    RowReader reader(tensor);
    reader.open(row);
    for (std::size_t g = 0; g < reader.groups(); ++g) {
        const std::size_t n = reader.layout().scales_per_group();
        std::copy_n(reader.scales(g), n, scales + g * n);
        offsets[g] = reader.offset(g);
    }
}

namespace {

std::optional<StoredMatrix> bcq_matrix(const EncodedTensor& tensor) {
    const BcqLayout layout = bcq_layout(tensor);
    const auto [rows, cols] = matrix_extents(tensor.shape);
    return CodedMatrix{
        rows,
        cols,
        layout.num_bits,
        layout.group_size,
        layout.uniform,
        layout.offset,
        LookupTables::fp32,
        [&tensor](std::size_t row, std::uint8_t* codes, float* scales, float* offsets) {
            unpack_bcq_codes(tensor, row, codes);
            read_bcq_terms(tensor, row, scales, offsets);
        }};
}

}  // namespace

EncodingRow bcq_encoding() {
    return {"bcq", validate_bcq, decode_bcq, bcq_matrix};
}

}  // namespace lathe
