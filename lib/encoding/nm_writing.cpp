#include <algorithm>

#include "lib/core/errors.hpp"
#include "lib/core/half.hpp"
#include "lib/encoding/bit_packing.hpp"
#include "lib/encoding/code_parts.hpp"
#include "lib/encoding/nm.hpp"
#include "lib/encoding/nm_meta.hpp"
#include "lib/encoding/nm_parts.hpp"

namespace lathe {
namespace {

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

/// The tensor but for its values, and the elements at its places, row after row. `zero` points to
/// the element that stands for 0, or is null if there is none.
template <class T>
EncodedTensor encode_places(const Shape& shape, const NmLayout& layout,
                            MatrixView<const std::uint8_t> keep, MatrixView<const T> dense,
                            const T* zero, std::vector<T>& stored) {
    require_nm_layout(shape, layout);
    const auto [rows, cols] = matrix_extents(shape);
    require_matrix("places", keep, rows, cols);
    require_matrix("values", dense, rows, cols);
    const NmMeta meta = nm_meta(layout);
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
            if (keep(r, j) == 0 && (zero == nullptr || dense(r, j) != *zero)) {
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
                                      {"group_size", static_cast<std::int64_t>(layout.group_size)},
                                      {"binary", layout.binary ? 1 : 0}},
                         .parts = {}};
    tensor.parts.push_back(
        pack_symbols("meta", {symbols.data(), rows, n_symbols}, meta.bits_per_symbol()));
    return tensor;
}

}  // namespace

EncodedTensor encode_nm_values(const Shape& shape, const NmLayout& layout,
                               MatrixView<const std::uint8_t> keep,
                               MatrixView<const float> values) {
    if (layout.num_bits != 0 || !is_nm_value_type(layout.value_type)) {
        throw InternalError("values of encoding 'nm' are float32, float16 or bfloat16, not " +
                            std::string(name(layout.value_type)) + " with codes of " +
                            std::to_string(layout.num_bits) + " bits");
    }
    std::vector<float> stored;
    const float zero = 0.0F;
    EncodedTensor tensor = encode_places(shape, layout, keep, values, &zero, stored);
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
    if (layout.num_bits == 0) {
        throw InternalError("a layout of floating values has no codes");
    }
    const std::uint8_t zero = middle_code(layout.num_bits);
    std::vector<std::uint8_t> stored;
    EncodedTensor tensor =
        encode_places(shape, layout, keep, codes, layout.binary ? nullptr : &zero, stored);
    const auto [rows, cols] = matrix_extents(shape);
    require_matrix("scales", scales, rows, nm_scales_per_row(cols, layout));
    tensor.parts.insert(tensor.parts.begin(),
                        pack_symbols("codes", {stored.data(), rows, stored_per_row(cols, layout)},
                                     layout.num_bits));
    tensor.parts.push_back(pack_scales(scales));
    if (layout.binary) {
        tensor.parts.back().shape = {rows, groups_per_row(cols, layout.group_size),
                                     layout.num_bits};
    }
    return tensor;
}

}  // namespace lathe
