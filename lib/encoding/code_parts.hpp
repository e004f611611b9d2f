#pragma once

#include <cstdint>
#include <string>

#include "lib/core/errors.hpp"
#include "lib/encoding/encoded_tensor.hpp"

namespace lathe {

// Parts that encodings with integer codes have in common.

inline constexpr std::size_t word_bytes = 4;

/// Groups of columns in a row; the last may be short.
[[nodiscard]] constexpr std::size_t groups_per_row(std::size_t cols, std::size_t group_size) {
    return cols / group_size + (cols % group_size != 0 ? 1 : 0);
}

/// The largest code of a width of at most 8 bits.
[[nodiscard]] constexpr std::uint8_t largest_code(unsigned num_bits) {
    return static_cast<std::uint8_t>((1U << num_bits) - 1U);
}
/// The zero of a symmetric grid.
[[nodiscard]] constexpr std::uint8_t middle_code(unsigned num_bits) {
    return static_cast<std::uint8_t>(1U << (num_bits - 1));
}

/// A uint32 part of packed rows (lib/encoding/bit_packing.hpp). symbols [rows, n]
/// @throws InternalError  for a symbol that needs more bits
[[nodiscard]] TensorPart pack_symbols(const std::string& name,
                                      MatrixView<const std::uint8_t> symbols, unsigned num_bits);

/// The bits of each row's last word behind its `count` symbols must be 0: equal content makes equal
/// bytes. `symbol` names one in the message. @throws DataError
void check_unused_bits(const TensorPart& part, const std::string& symbol, std::size_t count,
                       unsigned num_bits, const std::string& where);

/// The float16 part "scales". @throws InternalError  for a scale that is no finite fp16 number
[[nodiscard]] TensorPart pack_scales(MatrixView<const float> scales);

/// The uint8 part "scales" of numbers of 8 bits, see lib/encoding/integer.hpp.
/// @throws InternalError  for a scale that is none
[[nodiscard]] TensorPart pack_float8_scales(MatrixView<const float> scales);
[[nodiscard]] float float8_scale(std::byte code);

/// The uint8 part "zeros". @throws InternalError  for a zero that is not a code of num_bits bits
[[nodiscard]] TensorPart pack_zeros(MatrixView<const float> zeros, unsigned num_bits);

/// @throws ShapeError  unless a matrix to be encoded has these extents
template <class T>
void check_matrix(const std::string& what, const MatrixView<T>& matrix, std::size_t rows,
                  std::size_t cols) {
    if (matrix.rows != rows || matrix.cols != cols) {
        throw ShapeError(what + " are " + matrix.shape_text() + ", expected " +
                         to_string(Shape{rows, cols}));
    }
}

}  // namespace lathe
