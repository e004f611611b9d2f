#include "lib/encoding/integer_form.hpp"

#include <algorithm>

#include "lib/core/errors.hpp"
#include "lib/core/half.hpp"
#include "lib/encoding/bcq.hpp"
#include "lib/encoding/bit_packing.hpp"
#include "lib/encoding/block_shift.hpp"
#include "lib/encoding/code_parts.hpp"
#include "lib/encoding/nm.hpp"

namespace lathe {
namespace {

/// Codes of 2 bits for the signs of one plane: the zero of a symmetric grid of 2 bits is 2.
constexpr std::uint8_t plus_code = 3;
constexpr std::uint8_t minus_code = 1;
constexpr unsigned sign_bits = 2;

std::size_t setting(const EncodedTensor& tensor, const char* key) {
    return static_cast<std::size_t>(tensor.settings.at(key));
}

std::optional<IntegerLayout> form_of_bcq(const EncodedTensor& tensor) {
    const BcqLayout layout = bcq_layout(tensor);
    if (layout.uniform) {
        return IntegerLayout{std::max(layout.num_bits, sign_bits), layout.group_size,
                             !layout.offset};
    }
    if (layout.num_bits == 1 && !layout.offset) {
        return IntegerLayout{sign_bits, layout.group_size, true};
    }
    return std::nullopt;
}

std::optional<IntegerLayout> form_of_nm(const EncodedTensor& tensor) {
    const std::size_t bits = setting(tensor, "num_bits");
    const bool binary = setting(tensor, "binary") != 0;
    if (bits == 0 || (binary && bits > 1)) {
        return std::nullopt;
    }
    return IntegerLayout{binary ? sign_bits : static_cast<unsigned>(bits),
                         setting(tensor, "group_size"), true};
}

std::optional<IntegerLayout> form_of_blocks(const EncodedTensor& tensor) {
    const BlockShiftLayout layout = block_shift_layout(tensor);
    // A shift may lie outside the range of fp16.
    return layout.has_shifts()
               ? std::nullopt
               : std::optional(IntegerLayout{layout.num_bits, layout.block_size, true});
}

/// The arrays of an "integer" tensor before they are packed.
struct Grid {
    std::size_t rows, cols, groups;
    std::vector<std::uint8_t> codes;
    std::vector<float> scales;
    std::vector<float> zeros;  ///< empty: symmetric

    Grid(const Shape& shape, const IntegerLayout& layout)
        : rows(matrix_extents(shape).first),
          cols(matrix_extents(shape).second),
          groups(groups_per_row(cols, layout.group_size)),
          codes(rows * cols),
          scales(rows * groups),
          zeros(layout.symmetric ? 0 : rows * groups) {}

    [[nodiscard]] EncodedTensor encode(const Shape& shape, const IntegerLayout& layout) const {
        return encode_integer(shape, layout, {codes.data(), rows, cols},
                              {scales.data(), rows, groups},
                              {zeros.data(), zeros.empty() ? 0 : rows, groups});
    }
};

EncodedTensor from_bcq(const EncodedTensor& tensor, const IntegerLayout& layout) {
    const BcqLayout planes = bcq_layout(tensor);
    Grid grid(tensor.shape, layout);
    std::vector<float> zeros(grid.groups);
    for (std::size_t i = 0; i < grid.rows; ++i) {
        std::uint8_t* codes = grid.codes.data() + i * grid.cols;
        unpack_bcq_codes(tensor, i, codes);
        read_bcq_terms(tensor, i, grid.scales.data() + i * grid.groups, zeros.data());
        if (!planes.uniform) {
            std::transform(codes, codes + grid.cols, codes,
                           [](std::uint8_t bit) { return bit != 0 ? plus_code : minus_code; });
        } else if (planes.num_bits == 1 && layout.symmetric) {
            // The zero of one bit is 1, of two bits 2.
            std::transform(codes, codes + grid.cols, codes,
                           [](std::uint8_t code) { return static_cast<std::uint8_t>(code + 1); });
        }
        if (!layout.symmetric) {
            std::ranges::copy(zeros,
                              grid.zeros.begin() + static_cast<std::ptrdiff_t>(i * grid.groups));
        }
    }
    return grid.encode(tensor.shape, layout);
}

EncodedTensor from_nm(const EncodedTensor& tensor, const IntegerLayout& layout) {
    const auto bits = static_cast<unsigned>(setting(tensor, "num_bits"));
    const bool binary = setting(tensor, "binary") != 0;
    Grid grid(tensor.shape, layout);
    to_float(part(tensor, "scales").bytes.data(), DType::f16, grid.scales);
    const TensorPart& packed = part(tensor, "codes");
    const std::size_t stored = grid.cols / setting(tensor, "m") * setting(tensor, "n");
    const std::size_t row_bytes = words_per_row(stored, bits) * word_bytes;
    std::vector<std::uint8_t> kept(stored);
    std::vector<std::uint8_t> keep(grid.cols);
    for (std::size_t i = 0; i < grid.rows; ++i) {
        unpack_row_of(bits)(packed.bytes.data() + i * row_bytes, stored, kept.data());
        unpack_places(tensor, i, keep.data());
        std::size_t next = 0;
        for (std::size_t j = 0; j < grid.cols; ++j) {
            std::uint8_t code = middle_code(layout.num_bits);
            if (keep[j] != 0) {
                const std::uint8_t own = kept[next++];
                code = !binary ? own : own != 0 ? plus_code : minus_code;
            }
            grid.codes[i * grid.cols + j] = code;
        }
    }
    return grid.encode(tensor.shape, layout);
}

EncodedTensor from_blocks(const EncodedTensor& tensor, const IntegerLayout& layout) {
    Grid grid(tensor.shape, layout);
    to_float(part(tensor, "scales").bytes.data(), DType::f16, grid.scales);
    std::vector<std::int8_t> numbers(grid.cols);
    for (std::size_t i = 0; i < grid.rows; ++i) {
        read_block_row(tensor, i, numbers.data());
        std::ranges::transform(
            numbers, grid.codes.begin() + static_cast<std::ptrdiff_t>(i * grid.cols),
            [&](std::int8_t q) {
                return static_cast<std::uint8_t>(q + middle_code(layout.num_bits));
            });
    }
    return grid.encode(tensor.shape, layout);
}

EncodedTensor from_float8(const EncodedTensor& tensor, const IntegerLayout& layout) {
    Grid grid(tensor.shape, layout);
    std::vector<std::uint8_t> zeros(grid.groups);
    for (std::size_t i = 0; i < grid.rows; ++i) {
        unpack_codes(tensor, i, grid.codes.data() + i * grid.cols);
        read_grid(tensor, i, grid.scales.data() + i * grid.groups, zeros.data());
        if (!layout.symmetric) {
            std::ranges::copy(zeros,
                              grid.zeros.begin() + static_cast<std::ptrdiff_t>(i * grid.groups));
        }
    }
    return grid.encode(tensor.shape, layout);
}

}  // namespace

std::optional<IntegerLayout> integer_form(const EncodedTensor& tensor) {
    if (tensor.encoding == "integer") {
        IntegerLayout layout = integer_layout(tensor);
        layout.float8_scales = false;
        return layout;
    }
    if (tensor.encoding == "bcq") {
        return form_of_bcq(tensor);
    }
    if (tensor.encoding == "block_shift") {
        return form_of_blocks(tensor);
    }
    return tensor.encoding == "nm" ? form_of_nm(tensor) : std::nullopt;
}

EncodedTensor to_integer(const EncodedTensor& tensor) {
    const auto layout = integer_form(tensor);
    if (!layout) {
        throw InternalError("a tensor in encoding '" + tensor.encoding +
                            "' has no integer form with the same values");
    }
    if (tensor.encoding == "integer") {
        return integer_layout(tensor).float8_scales ? from_float8(tensor, *layout) : tensor;
    }
    if (tensor.encoding == "block_shift") {
        return from_blocks(tensor, *layout);
    }
    return tensor.encoding == "bcq" ? from_bcq(tensor, *layout) : from_nm(tensor, *layout);
}

}  // namespace lathe
