#include "lib/encoding/nm.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lib/core/errors.hpp"
#include "lib/core/half.hpp"
#include "lib/encoding/bit_packing.hpp"
#include "lib/encoding/code_parts.hpp"
#include "lib/encoding/nm_meta.hpp"
#include "lib/encoding/nm_parts.hpp"
#include "lib/encoding/part_checks.hpp"

namespace lathe {
namespace {

// Parts are in the order of their names: meta, values or codes, meta, scales.

const TensorPart& stored_part(const EncodedTensor& tensor) {
    return tensor.parts[tensor.settings.at("num_bits") == 0 ? 1 : 0];
}
const TensorPart& meta_part(const EncodedTensor& tensor) {
    return tensor.parts[tensor.settings.at("num_bits") == 0 ? 0 : 1];
}

/// All but the type of floating values, which is that of their part.
NmLayout layout_of(const EncodedTensor& tensor) {
    const auto setting = [&](const char* key) {
        return static_cast<std::size_t>(tensor.settings.at(key));
    };
    return {.n = setting("n"),
            .m = setting("m"),
            .num_bits = static_cast<unsigned>(setting("num_bits")),
            .group_size = setting("group_size"),
            .binary = setting("binary") != 0};
}

std::size_t meta_words(std::size_t cols, const NmLayout& layout) {
    return words_per_row(nm_meta(layout).symbols(cols), nm_meta(layout).bits_per_symbol());
}

/// The places of a row. @throws DataError  if its symbols are illegal
void read_places(const EncodedTensor& tensor, const TensorPart& part, std::size_t row,
                 std::vector<std::uint8_t>& symbols, std::vector<std::uint8_t>& places,
                 const std::string& where) {
    const NmMeta meta = nm_meta(layout_of(tensor));
    const std::size_t cols = places.size();
    symbols.resize(meta.symbols(cols));
    const std::size_t row_bytes = part.shape[1] * word_bytes;
    unpack_row_of(meta.bits_per_symbol())(part.bytes.data() + row * row_bytes, symbols.size(),
                                          symbols.data());
    const std::size_t bad = meta.read(symbols.data(), cols, places.data());
    if (bad < cols / meta.m) {
        throw DataError(where + ": part 'meta' does not name " + std::to_string(meta.n) +
                        " ascending columns of " + std::to_string(meta.m) + " in group " +
                        std::to_string(bad) + " of row " + std::to_string(row));
    }
}

// ---- the row of the table --------------------------------------------------------------------

Shape scale_shape(std::size_t rows, std::size_t cols, const NmLayout& layout) {
    const std::size_t groups = groups_per_row(cols, layout.group_size);
    return layout.binary ? Shape{rows, groups, layout.num_bits} : Shape{rows, groups};
}

void validate_parts(const EncodedTensor& tensor, const NmLayout& layout, const std::string& where) {
    const auto [rows, cols] = matrix_extents(tensor.shape);
    const std::size_t stored = stored_per_row(cols, layout);
    if (layout.num_bits == 0) {
        check_part_names(tensor, {"meta", "values"}, where);
        const TensorPart& values = stored_part(tensor);
        if (!is_nm_value_type(values.dtype)) {
            throw DataError(where + ": part 'values' has type " + std::string(name(values.dtype)) +
                            ", expected float32, float16 or bfloat16");
        }
        check_part(values, values.dtype, {rows, stored}, where);
    } else {
        check_part_names(tensor, {"codes", "meta", "scales"}, where);
        check_part(tensor.parts[0], DType::u32, {rows, words_per_row(stored, layout.num_bits)},
                   where);
        check_unused_bits(tensor.parts[0], "code", stored, layout.num_bits, where);
        check_part(tensor.parts[2], DType::f16, scale_shape(rows, cols, layout), where);
        check_finite_halves(tensor.parts[2], where);
    }
    const NmMeta meta = nm_meta(layout);
    check_part(meta_part(tensor), DType::u32, {rows, meta_words(cols, layout)}, where);
    check_unused_bits(meta_part(tensor), "place", meta.symbols(cols), meta.bits_per_symbol(),
                      where);
}

void validate_nm(const EncodedTensor& tensor, const std::string& where) {
    check_setting_names(tensor, {"n", "m", "num_bits", "group_size", "binary"}, where);
    checked_setting(tensor, "m", 1, largest_m, where);
    checked_setting(tensor, "n", 1, tensor.settings.at("m"), where);
    checked_setting(tensor, "num_bits", 0, 8, where);
    checked_setting(tensor, "group_size", 0, std::numeric_limits<std::int64_t>::max(), where);
    checked_setting(tensor, "binary", 0, 1, where);
    const NmLayout layout = layout_of(tensor);
    if (const std::string reason = nm_refuses(tensor.shape, layout); !reason.empty()) {
        throw DataError(where + ": " + reason);
    }
    validate_parts(tensor, layout, where);
    const auto [rows, cols] = matrix_extents(tensor.shape);
    std::vector<std::uint8_t> symbols;
    std::vector<std::uint8_t> places(cols);
    for (std::size_t r = 0; r < rows; ++r) {
        read_places(tensor, meta_part(tensor), r, symbols, places, where);
    }
}

/// The stored values of a row, in fp32.
class StoredRow {
public:
    StoredRow(const EncodedTensor& tensor, const NmLayout& layout, std::size_t cols)
        : tensor_(tensor), layout_(layout), values_(stored_per_row(cols, layout)) {
        if (layout.num_bits > 0) {
            codes_.resize(values_.size());
            scales_.resize(nm_scales_per_row(cols, layout));
        }
    }

    const std::vector<float>& load(std::size_t row) {
        const TensorPart& part = stored_part(tensor_);
        if (layout_.num_bits == 0) {
            const std::size_t row_bytes = values_.size() * size_bytes(part.dtype);
            to_float(part.bytes.data() + row * row_bytes, part.dtype, values_);
            return values_;
        }
        const std::size_t row_bytes = part.shape[1] * word_bytes;
        unpack_row_of(layout_.num_bits)(part.bytes.data() + row * row_bytes, codes_.size(),
                                        codes_.data());
        to_float(tensor_.parts[2].bytes.data() + row * scales_.size() * 2, DType::f16, scales_);
        const std::size_t per_group = layout_.group_size / layout_.m * layout_.n;
        for (std::size_t i = 0; i < values_.size(); ++i) {
            values_[i] = value(codes_[i], &scales_[i / per_group * layout_.scales_per_group()]);
        }
        return values_;
    }

private:
    [[nodiscard]] float value(std::uint8_t code, const float* scales) const {
        if (!layout_.binary) {
            return scales[0] * static_cast<float>(code - middle_code(layout_.num_bits));
        }
        float sum = 0.0F;
        for (unsigned p = 0; p < layout_.num_bits; ++p) {
            sum += (code >> p & 1U) != 0 ? scales[p] : -scales[p];
        }
        return sum;
    }

    const EncodedTensor& tensor_;
    NmLayout layout_;
    std::vector<float> values_;
    std::vector<std::uint8_t> codes_;
    std::vector<float> scales_;
};

void decode_nm(const EncodedTensor& tensor, MatrixView<float> values) {
    StoredRow stored(tensor, layout_of(tensor), values.cols);
    std::vector<std::uint8_t> symbols;
    std::vector<std::uint8_t> places(values.cols);
    for (std::size_t r = 0; r < values.rows; ++r) {
        read_places(tensor, meta_part(tensor), r, symbols, places, "a tensor in encoding 'nm'");
        const float* next = stored.load(r).data();
        for (std::size_t j = 0; j < values.cols; ++j) {
            values(r, j) = places[j] != 0 ? *next++ : 0.0F;
        }
    }
}

}  // namespace

std::string nm_refuses(const Shape& shape, const NmLayout& layout) {
    const std::string pattern = std::to_string(layout.n) + ":" + std::to_string(layout.m);
    if (layout.n == 0 || layout.n > layout.m || layout.m > largest_m) {
        return "pattern " + pattern + " is not valid; expected N:M with 1 <= N <= M <= 64";
    }
    const std::size_t cols = matrix_extents(shape).second;
    if (cols % layout.m != 0) {
        return "pattern " + pattern + " does not divide rows of " + std::to_string(cols) +
               " columns";
    }
    if (layout.num_bits == 0) {
        return layout.group_size == 0 && !layout.binary
                   ? ""
                   : "floating values have no groups of scales";
    }
    if (layout.num_bits < layout.fewest_bits() || layout.num_bits > layout.most_bits()) {
        return layout.code_name() + " codes have " + std::to_string(layout.fewest_bits()) + " to " +
               std::to_string(layout.most_bits()) + " bits, not " + std::to_string(layout.num_bits);
    }
    if (layout.group_size == 0 || layout.group_size % layout.m != 0) {
        return "group_size " + std::to_string(layout.group_size) + " is not a multiple of the " +
               std::to_string(layout.m) + " columns of pattern " + pattern;
    }
    return "";
}

std::uint64_t nm_bytes(const Shape& shape, const NmLayout& layout) {
    require_nm_layout(shape, layout);
    const auto [rows, cols] = matrix_extents(shape);
    const std::size_t stored = stored_per_row(cols, layout);
    const std::size_t meta = meta_words(cols, layout) * word_bytes;
    if (layout.num_bits == 0) {
        return rows * (meta + stored * size_bytes(layout.value_type));
    }
    return rows * (meta + words_per_row(stored, layout.num_bits) * word_bytes +
                   nm_scales_per_row(cols, layout) * 2);
}

double nm_meta_bits(const NmLayout& layout) {
    const NmMeta meta = nm_meta(layout);
    return static_cast<double>(meta.symbols(layout.m) * meta.bits_per_symbol()) /
           static_cast<double>(layout.m);
}

void unpack_places(const EncodedTensor& tensor, std::size_t row, std::uint8_t* keep) {
    const auto [rows, cols] = matrix_extents(tensor.shape);
    if (row >= rows) {
        throw ShapeError("row " + std::to_string(row) + " of a tensor of " + std::to_string(rows));
    }
    std::vector<std::uint8_t> symbols;
    std::vector<std::uint8_t> places(cols);
    read_places(tensor, meta_part(tensor), row, symbols, places, "a tensor in encoding 'nm'");
    std::copy(places.begin(), places.end(), keep);
}

namespace {

std::optional<StoredMatrix> nm_matrix(const EncodedTensor& tensor) {
    const auto [rows, cols] = matrix_extents(tensor.shape);
    const auto setting = [&](const char* key) {
        return static_cast<std::size_t>(tensor.settings.at(key));
    };
    NmMatrix matrix{.rows = rows,
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
        matrix.read = [&tensor, &values, stored](std::size_t row, const NmRow& to) {
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
    matrix.read = [&, unpack, stored, n_scales](std::size_t row, const NmRow& to) {
        unpack_places(tensor, row, to.keep);
        unpack(codes.bytes.data() + row * codes.shape[1] * word_bytes, stored, to.codes);
        to_float(scales.bytes.data() + row * n_scales * 2, DType::f16, {to.scales, n_scales});
    };
    return matrix;
}

}  // namespace

EncodingRow nm_encoding() {
    return {"nm", validate_nm, decode_nm, nm_matrix};
}

}  // namespace lathe
