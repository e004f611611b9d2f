#include "lib/encoding/nm.hpp"

#include <algorithm>
#include <limits>

#include "lib/core/errors.hpp"
#include "lib/core/half.hpp"
#include "lib/encoding/bit_packing.hpp"
#include "lib/encoding/code_parts.hpp"
#include "lib/encoding/nm_meta.hpp"
#include "lib/encoding/part_checks.hpp"

namespace lathe {
namespace {

constexpr std::size_t largest_m = 64;

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
            .group_size = setting("group_size")};
}

NmMeta meta_of(const NmLayout& layout) {
    return {layout.n, layout.m};
}

bool is_value_type(DType dtype) {
    return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16;
}

std::size_t stored_per_row(std::size_t cols, const NmLayout& layout) {
    return cols / layout.m * layout.n;
}

std::size_t meta_words(std::size_t cols, const NmLayout& layout) {
    return words_per_row(meta_of(layout).symbols(cols), meta_of(layout).bits_per_symbol());
}

void require_layout(const Shape& shape, const NmLayout& layout) {
    if (const std::string reason = nm_refuses(shape, layout); !reason.empty()) {
        throw InternalError("a tensor of shape " + to_string(shape) +
                            " cannot be stored as nm: " + reason);
    }
}

template <class T>
void require_matrix(const char* name, const MatrixView<T>& matrix, std::size_t rows,
                    std::size_t cols) {
    if (matrix.rows != rows || matrix.cols != cols) {
        throw ShapeError(std::string(name) + " are " + matrix.shape_text() + ", expected [" +
                         std::to_string(rows) + ", " + std::to_string(cols) + "]");
    }
}

/// The places of a row with exactly n in each group: those of keep, then the highest free ones.
void fill_places(const std::uint8_t* keep, std::size_t row, std::size_t cols,
                 const NmLayout& layout, std::uint8_t* places) {
    for (std::size_t begin = 0; begin < cols; begin += layout.m) {
        std::size_t n_kept = 0;
        for (std::size_t j = begin; j < begin + layout.m; ++j) {
            places[j] = keep[j] != 0 ? 1 : 0;
            n_kept += places[j];
        }
        if (n_kept > layout.n) {
            throw InternalError("row " + std::to_string(row) + " keeps " + std::to_string(n_kept) +
                                " of columns " + std::to_string(begin) + " to " +
                                std::to_string(begin + layout.m - 1) + ", at most " +
                                std::to_string(layout.n) + " are allowed");
        }
        for (std::size_t j = begin + layout.m; n_kept < layout.n; --j) {
            n_kept += places[j - 1] == 0 ? 1 : 0;
            places[j - 1] = 1;
        }
    }
}

/// The tensor but for its values, and the elements at its places, row after row.
template <class T>
EncodedTensor encode_places(const Shape& shape, const NmLayout& layout,
                            MatrixView<const std::uint8_t> keep, MatrixView<const T> dense, T none,
                            std::vector<T>& stored) {
    require_layout(shape, layout);
    const auto [rows, cols] = matrix_extents(shape);
    require_matrix("places", keep, rows, cols);
    require_matrix("values", dense, rows, cols);
    const NmMeta meta = meta_of(layout);
    const std::size_t n_symbols = meta.symbols(cols);
    std::vector<std::uint8_t> symbols(rows * n_symbols);
    std::vector<std::uint8_t> places(cols);
    stored.clear();
    stored.reserve(rows * stored_per_row(cols, layout));
    for (std::size_t r = 0; r < rows; ++r) {
        fill_places(keep.row(r), r, cols, layout, places.data());
        meta.write(places.data(), cols, symbols.data() + r * n_symbols);
        for (std::size_t j = 0; j < cols; ++j) {
            if (places[j] == 0) {
                continue;
            }
            if (keep(r, j) == 0 && dense(r, j) != none) {
                throw InternalError("row " + std::to_string(r) + ", column " + std::to_string(j) +
                                    ": a place that is not kept fills up its group, but is not 0");
            }
            stored.push_back(dense(r, j));
        }
    }
    EncodedTensor tensor{.encoding = "nm",
                         .shape = shape,
                         .settings = {{"n", static_cast<std::int64_t>(layout.n)},
                                      {"m", static_cast<std::int64_t>(layout.m)},
                                      {"num_bits", layout.num_bits},
                                      {"group_size", static_cast<std::int64_t>(layout.group_size)}},
                         .parts = {}};
    tensor.parts.push_back(
        pack_symbols("meta", {symbols.data(), rows, n_symbols}, meta.bits_per_symbol()));
    return tensor;
}

/// The places of a row. @throws DataError  if its symbols are illegal
void read_places(const EncodedTensor& tensor, const TensorPart& part, std::size_t row,
                 std::vector<std::uint8_t>& symbols, std::vector<std::uint8_t>& places,
                 const std::string& where) {
    const NmMeta meta = meta_of(layout_of(tensor));
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

void validate_parts(const EncodedTensor& tensor, const NmLayout& layout, const std::string& where) {
    const auto [rows, cols] = matrix_extents(tensor.shape);
    const std::size_t stored = stored_per_row(cols, layout);
    if (layout.num_bits == 0) {
        check_part_names(tensor, {"meta", "values"}, where);
        const TensorPart& values = stored_part(tensor);
        if (!is_value_type(values.dtype)) {
            throw DataError(where + ": part 'values' has type " + std::string(name(values.dtype)) +
                            ", expected float32, float16 or bfloat16");
        }
        check_part(values, values.dtype, {rows, stored}, where);
    } else {
        check_part_names(tensor, {"codes", "meta", "scales"}, where);
        check_part(tensor.parts[0], DType::u32, {rows, words_per_row(stored, layout.num_bits)},
                   where);
        check_unused_bits(tensor.parts[0], "code", stored, layout.num_bits, where);
        check_part(tensor.parts[2], DType::f16, {rows, groups_per_row(cols, layout.group_size)},
                   where);
        check_finite_halves(tensor.parts[2], where);
    }
    const NmMeta meta = meta_of(layout);
    check_part(meta_part(tensor), DType::u32, {rows, meta_words(cols, layout)}, where);
    check_unused_bits(meta_part(tensor), "place", meta.symbols(cols), meta.bits_per_symbol(),
                      where);
}

void validate_nm(const EncodedTensor& tensor, const std::string& where) {
    check_setting_names(tensor, {"n", "m", "num_bits", "group_size"}, where);
    checked_setting(tensor, "m", 1, largest_m, where);
    checked_setting(tensor, "n", 1, tensor.settings.at("m"), where);
    checked_setting(tensor, "num_bits", 0, 8, where);
    checked_setting(tensor, "group_size", 0, std::numeric_limits<std::int64_t>::max(), where);
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
            scales_.resize(groups_per_row(cols, layout.group_size));
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
        const int zero = middle_code(layout_.num_bits);
        const std::size_t per_group = layout_.group_size / layout_.m * layout_.n;
        for (std::size_t i = 0; i < values_.size(); ++i) {
            values_[i] = scales_[i / per_group] * static_cast<float>(codes_[i] - zero);
        }
        return values_;
    }

private:
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
        return "pattern " + pattern + " is none; expected N:M with 1 <= N <= M <= 64";
    }
    const std::size_t cols = matrix_extents(shape).second;
    if (cols % layout.m != 0) {
        return "pattern " + pattern + " does not divide rows of " + std::to_string(cols) +
               " columns";
    }
    if (layout.num_bits == 0) {
        return layout.group_size == 0 ? "" : "floating values have no groups of scales";
    }
    if (layout.num_bits < 2 || layout.num_bits > 8) {
        return "codes have 2 to 8 bits, not " + std::to_string(layout.num_bits);
    }
    if (layout.group_size == 0 || layout.group_size % layout.m != 0) {
        return "group_size " + std::to_string(layout.group_size) + " is not a multiple of the " +
               std::to_string(layout.m) + " columns of pattern " + pattern;
    }
    return "";
}

std::uint64_t nm_bytes(const Shape& shape, const NmLayout& layout) {
    require_layout(shape, layout);
    const auto [rows, cols] = matrix_extents(shape);
    const std::size_t stored = stored_per_row(cols, layout);
    const std::size_t meta = meta_words(cols, layout) * word_bytes;
    if (layout.num_bits == 0) {
        return rows * (meta + stored * size_bytes(layout.value_type));
    }
    return rows * (meta + words_per_row(stored, layout.num_bits) * word_bytes +
                   groups_per_row(cols, layout.group_size) * 2);
}

double nm_meta_bits(const NmLayout& layout) {
    const NmMeta meta = meta_of(layout);
    return static_cast<double>(meta.symbols(layout.m) * meta.bits_per_symbol()) /
           static_cast<double>(layout.m);
}

EncodedTensor encode_nm_values(const Shape& shape, const NmLayout& layout,
                               MatrixView<const std::uint8_t> keep,
                               MatrixView<const float> values) {
    if (layout.num_bits != 0 || !is_value_type(layout.value_type)) {
        throw InternalError("values of encoding 'nm' are float32, float16 or bfloat16, not " +
                            std::string(name(layout.value_type)) + " with codes of " +
                            std::to_string(layout.num_bits) + " bits");
    }
    std::vector<float> stored;
    EncodedTensor tensor = encode_places(shape, layout, keep, values, 0.0F, stored);
    const auto [rows, cols] = matrix_extents(shape);
    TensorPart part{.name = "values",
                    .dtype = layout.value_type,
                    .shape = {rows, stored_per_row(cols, layout)},
                    .bytes = std::vector<std::byte>(stored.size() * size_bytes(layout.value_type))};
    from_float(stored, layout.value_type, part.bytes.data());
    tensor.parts.push_back(std::move(part));
    return tensor;
}

EncodedTensor encode_nm_codes(const Shape& shape, const NmLayout& layout,
                              MatrixView<const std::uint8_t> keep,
                              MatrixView<const std::uint8_t> codes,
                              MatrixView<const float> scales) {
    if (layout.num_bits < 2 || layout.num_bits > 8) {
        throw InternalError("codes of encoding 'nm' have 2 to 8 bits, not " +
                            std::to_string(layout.num_bits));
    }
    std::vector<std::uint8_t> stored;
    EncodedTensor tensor =
        encode_places(shape, layout, keep, codes, middle_code(layout.num_bits), stored);
    const auto [rows, cols] = matrix_extents(shape);
    require_matrix("scales", scales, rows, groups_per_row(cols, layout.group_size));
    tensor.parts.insert(tensor.parts.begin(),
                        pack_symbols("codes", {stored.data(), rows, stored_per_row(cols, layout)},
                                     layout.num_bits));
    tensor.parts.push_back(pack_scales(scales));
    return tensor;
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

EncodingRow nm_encoding() {
    return {"nm", validate_nm, decode_nm};
}

}  // namespace lathe
