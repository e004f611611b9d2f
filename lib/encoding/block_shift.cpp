#include "lib/encoding/block_shift.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "lib/core/errors.hpp"
#include "lib/core/half.hpp"
#include "lib/encoding/block_shift_parts.hpp"
#include "lib/encoding/part_checks.hpp"

namespace lathe {
namespace {

// ---- the row of the table --------------------------------------------------------------------

void validate_narrow_shifts(const EncodedTensor& tensor, const BlockExtents& e,
                            const std::string& where) {
    const TensorPart& shifts = tensor.parts[1];
    const auto base = checked_setting(tensor, "shift_base", smallest_shift, largest_shift, where);
    check_part(shifts, DType::u32, scale_shape(e, block_shift_layout(tensor)), where);
    check_unused_bits(shifts, "shift", e.rows * e.blocks, narrow_shift_bits, where);
    for (const std::int8_t shift : read_shifts(tensor)) {
        if (shift < base) {  // it went round
            throw DataError(where + ": a shift is above " + std::to_string(largest_shift));
        }
    }
}

/// No code is 0: numbers are symmetric, and products count on it.
void check_no_code_is_0(const EncodedTensor& tensor, const BlockExtents& e,
                        const std::string& where) {
    std::vector<std::int8_t> q(e.cols);
    const int lowest = -static_cast<int>(middle_code(block_shift_layout(tensor).num_bits));
    for (std::size_t r = 0; r < e.rows; ++r) {
        read_block_row(tensor, r, q.data());
        if (std::ranges::any_of(q, [&](std::int8_t number) { return number == lowest; })) {
            throw DataError(where + ": row " + std::to_string(r) + " of part 'codes' has a code 0");
        }
    }
}

void validate_block_shift(const EncodedTensor& tensor, const std::string& where) {
    const auto scale_bits = checked_setting(tensor, "scale_bits", 6, 16, where);
    if (scale_bits != narrow_shift_bits && scale_bits != 8 && scale_bits != 16) {
        throw DataError(where + ": scale_bits is " + std::to_string(scale_bits) +
                        ", expected 6, 8 or 16");
    }
    if (scale_bits == narrow_shift_bits) {
        check_setting_names(tensor, {"num_bits", "block_size", "scale_bits", "shift_base"}, where);
    } else {
        check_setting_names(tensor, {"num_bits", "block_size", "scale_bits"}, where);
    }
    checked_setting(tensor, "num_bits", 2, 8, where);
    checked_setting(tensor, "block_size", 1, std::numeric_limits<std::int64_t>::max(), where);

    const BlockShiftLayout layout = block_shift_layout(tensor);
    const BlockExtents e = block_extents(tensor.shape, layout);
    check_part_names(tensor, {"codes", layout.has_shifts() ? "shifts" : "scales"}, where);
    check_part(tensor.parts[0], DType::u32, {e.rows, words_per_row(e.cols, layout.num_bits)},
               where);
    check_unused_bits(tensor.parts[0], "code", e.cols, layout.num_bits, where);
    check_no_code_is_0(tensor, e, where);
    if (scale_bits == narrow_shift_bits) {
        validate_narrow_shifts(tensor, e, where);
    } else if (layout.has_shifts()) {
        check_part(tensor.parts[1], DType::i8, scale_shape(e, layout), where);
        const auto& bytes = tensor.parts[1].bytes;
        if (std::ranges::any_of(bytes, [](std::byte b) { return b == std::byte{0x80}; })) {
            throw DataError(where + ": a shift is -128; " + std::to_string(smallest_shift) +
                            " is the smallest");
        }
    } else {
        check_part(tensor.parts[1], DType::f16, scale_shape(e, layout), where);
        check_finite_halves(tensor.parts[1], where);
    }
}

/// Scales of all blocks.
std::vector<float> read_scales(const EncodedTensor& tensor) {
    const BlockShiftLayout layout = block_shift_layout(tensor);
    const BlockExtents e = block_extents(tensor.shape, layout);
    std::vector<float> scales(e.rows * e.blocks);
    if (layout.has_shifts()) {
        const std::vector<std::int8_t> shifts = read_shifts(tensor);
        std::ranges::transform(shifts, scales.begin(),
                               [](std::int8_t shift) { return std::ldexp(1.0F, -shift); });
    } else {
        to_float(part(tensor, "scales").bytes.data(), DType::f16, scales);
    }
    return scales;
}

void decode_block_shift(const EncodedTensor& tensor, MatrixView<float> values) {
    const BlockShiftLayout layout = block_shift_layout(tensor);
    const std::size_t blocks = groups_per_row(values.cols, layout.block_size);
    const std::vector<float> scales = read_scales(tensor);
    std::vector<std::int8_t> q(values.cols);
    for (std::size_t r = 0; r < values.rows; ++r) {
        read_block_row(tensor, r, q.data());
        for (std::size_t j = 0; j < values.cols; ++j) {
            values(r, j) = static_cast<float>(q[j]) * scales[r * blocks + j / layout.block_size];
        }
    }
}

/// For products: what kernels know as an integer grid, if all scales are fp16 numbers.
std::optional<StoredMatrix> block_shift_matrix(const EncodedTensor& tensor) {
    std::vector<float> scales = read_scales(tensor);
    if (std::ranges::any_of(scales, [](float s) { return half_to_float(float_to_half(s)) != s; })) {
        return std::nullopt;
    }
    const BlockShiftLayout layout = block_shift_layout(tensor);
    const BlockExtents e = block_extents(tensor.shape, layout);
    return CodedMatrix{
        e.rows,
        e.cols,
        layout.num_bits,
        layout.block_size,
        true,
        false,
        LookupTables::fp32,
        [&tensor, e, bits = layout.num_bits, scales = std::move(scales)](
            std::size_t row, std::uint8_t* codes, float* to, float*) {
            const std::size_t bytes = words_per_row(e.cols, bits) * word_bytes;
            unpack_row_of(bits)(tensor.parts[0].bytes.data() + row * bytes, e.cols, codes);
            std::copy_n(scales.begin() + static_cast<std::ptrdiff_t>(row * e.blocks), e.blocks, to);
        }};
}

}  // namespace

BlockShiftLayout block_shift_layout(const EncodedTensor& tensor) {
    return {static_cast<unsigned>(tensor.settings.at("num_bits")),
            static_cast<std::size_t>(tensor.settings.at("block_size")),
            static_cast<unsigned>(tensor.settings.at("scale_bits"))};
}

void read_block_row(const EncodedTensor& tensor, std::size_t row, std::int8_t* q) {
    const unsigned bits = block_shift_layout(tensor).num_bits;
    const std::size_t cols = matrix_extents(tensor.shape).second;
    const std::size_t bytes = words_per_row(cols, bits) * word_bytes;
    auto* codes = reinterpret_cast<std::uint8_t*>(q);
    unpack_row_of(bits)(tensor.parts[0].bytes.data() + row * bytes, cols, codes);
    for (std::size_t j = 0; j < cols; ++j) {
        q[j] = static_cast<std::int8_t>(codes[j] - middle_code(bits));
    }
}

std::vector<std::int8_t> read_shifts(const EncodedTensor& tensor) {
    const BlockShiftLayout layout = block_shift_layout(tensor);
    const BlockExtents e = block_extents(tensor.shape, layout);
    std::vector<std::int8_t> shifts(e.rows * e.blocks);
    const std::byte* bytes = part(tensor, "shifts").bytes.data();
    if (layout.scale_bits == narrow_shift_bits) {
        std::vector<std::uint8_t> symbols(shifts.size());
        unpack_row_of(narrow_shift_bits)(bytes, symbols.size(), symbols.data());
        std::ranges::transform(symbols, shifts.begin(), [&](std::uint8_t symbol) {
            return static_cast<std::int8_t>(tensor.settings.at("shift_base") + symbol);
        });
    } else if (!shifts.empty()) {
        std::memcpy(shifts.data(), bytes, shifts.size());
    }
    return shifts;
}

EncodingRow block_shift_encoding() {
    return {"block_shift", validate_block_shift, decode_block_shift, block_shift_matrix};
}

}  // namespace lathe
