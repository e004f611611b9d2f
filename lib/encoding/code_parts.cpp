#include "lib/encoding/code_parts.hpp"

#include <algorithm>
#include <cstring>

#include "lib/core/errors.hpp"
#include "lib/core/half.hpp"
#include "lib/encoding/bit_packing.hpp"

namespace lathe {

TensorPart pack_symbols(const std::string& name, MatrixView<const std::uint8_t> codes,
                        unsigned num_bits) {
    const std::size_t words = words_per_row(codes.cols, num_bits);
    TensorPart packed{.name = name, .dtype = DType::u32, .shape = {codes.rows, words}, .bytes = {}};
    packed.bytes.resize(codes.rows * words * word_bytes);
    for (std::size_t i = 0; i < codes.rows; ++i) {
        const std::uint8_t* row = codes.row(i);
        const std::uint8_t* end = row + codes.cols;
        if (std::any_of(row, end, [&](std::uint8_t c) { return c > largest_code(num_bits); })) {
            throw InternalError("row " + std::to_string(i) + " holds a code that needs more than " +
                                std::to_string(num_bits) + " bits");
        }
        pack_row(row, codes.cols, num_bits, packed.bytes.data() + i * words * word_bytes);
    }
    return packed;
}

void check_unused_bits(const TensorPart& part, const std::string& symbol, std::size_t count,
                       unsigned num_bits, const std::string& where) {
    const std::size_t used = count % 32 * num_bits % 32;
    if (used == 0) {
        return;
    }
    const std::size_t words = part.shape[1];
    for (std::size_t i = 0; i < part.shape[0]; ++i) {
        std::uint32_t last = 0;
        std::memcpy(&last, part.bytes.data() + ((i + 1) * words - 1) * word_bytes, word_bytes);
        if (last >> used != 0) {
            throw DataError(where + ": part '" + part.name + "' has bits set behind the last " +
                            symbol + " of row " + std::to_string(i));
        }
    }
}

TensorPart pack_scales(MatrixView<const float> scales) {
    TensorPart packed{
        .name = "scales", .dtype = DType::f16, .shape = {scales.rows, scales.cols}, .bytes = {}};
    packed.bytes.resize(scales.rows * scales.cols * 2);
    for (std::size_t i = 0; i < scales.rows; ++i) {
        for (std::size_t g = 0; g < scales.cols; ++g) {
            const std::uint16_t bits = float_to_half(scales(i, g));
            // Also refuses NaN; infinity is an fp16 number, but no scale.
            if (half_to_float(bits) != scales(i, g) || (bits & 0x7C00U) == 0x7C00U) {
                throw InternalError("scale " + std::to_string(scales(i, g)) + " of row " +
                                    std::to_string(i) + " is not a finite fp16 number");
            }
            std::memcpy(packed.bytes.data() + (i * scales.cols + g) * 2, &bits, 2);
        }
    }
    return packed;
}

namespace {

// A number of 8 bits is a normal fp16 number: its exponent field is one more than the code's, and
// the lowest six bits of its fraction are 0.
constexpr unsigned cut_bits = 6;
constexpr unsigned first_half = 1U << 10U;

}  // namespace

TensorPart pack_float8_scales(MatrixView<const float> scales) {
    TensorPart packed{
        .name = "scales", .dtype = DType::u8, .shape = {scales.rows, scales.cols}, .bytes = {}};
    packed.bytes.reserve(scales.rows * scales.cols);
    for (std::size_t i = 0; i < scales.rows; ++i) {
        for (std::size_t g = 0; g < scales.cols; ++g) {
            const auto code =
                static_cast<std::byte>((float_to_half(scales(i, g)) - first_half) >> cut_bits);
            // Also refuses NaN and what is out of range.
            if (float8_scale(code) != scales(i, g)) {
                throw InternalError("scale " + std::to_string(scales(i, g)) + " of row " +
                                    std::to_string(i) + " is not a number of 8 bits");
            }
            packed.bytes.push_back(code);
        }
    }
    return packed;
}

float float8_scale(std::byte code) {
    return half_to_float(
        static_cast<std::uint16_t>((std::to_integer<unsigned>(code) << cut_bits) + first_half));
}

TensorPart pack_zeros(MatrixView<const float> zeros, unsigned num_bits) {
    TensorPart packed{
        .name = "zeros", .dtype = DType::u8, .shape = {zeros.rows, zeros.cols}, .bytes = {}};
    packed.bytes.reserve(zeros.rows * zeros.cols);
    for (std::size_t i = 0; i < zeros.rows; ++i) {
        for (std::size_t g = 0; g < zeros.cols; ++g) {
            const float zero = zeros(i, g);
            const bool in_range =
                zero >= 0.0F && zero <= static_cast<float>(largest_code(num_bits));
            if (!in_range || static_cast<float>(static_cast<std::uint8_t>(zero)) != zero) {
                throw InternalError("zero " + std::to_string(zero) + " of row " +
                                    std::to_string(i) + " is not a code of " +
                                    std::to_string(num_bits) + " bits");
            }
            packed.bytes.push_back(static_cast<std::byte>(zero));
        }
    }
    return packed;
}

}  // namespace lathe
