#pragma once

#include <cstddef>
#include <cstdint>

namespace lathe {

// Rows of small codes in 32-bit words, little end first: bit b of code j is bit (j * num_bits + b)
// of the row's words. A code may cross a word boundary; bits behind the last code are 0. Widths are
// 1 to 8 bits.

/// 32-bit words that a row of `cols` codes takes: ceil(cols * num_bits / 32).
[[nodiscard]] std::size_t words_per_row(std::size_t cols, unsigned num_bits) noexcept;

/// Packs a row into words_per_row() * 4 bytes. @pre  each code is below 2^num_bits
void pack_row(const std::uint8_t* codes, std::size_t cols, unsigned num_bits, std::byte* target);

/// Unpacks a row; reads exactly words_per_row() * 4 bytes at most.
using UnpackRow = void (*)(const std::byte* source, std::size_t cols, std::uint8_t* codes);

/// The function for a width: looked up once a tensor, called once a row.
/// @throws InternalError  for a width that is not 1 to 8
[[nodiscard]] UnpackRow unpack_row_of(unsigned num_bits);

}  // namespace lathe
