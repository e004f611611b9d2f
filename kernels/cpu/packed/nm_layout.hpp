#pragma once

#include <cstddef>

#include "kernels/cpu/variants/vector_kernels.hpp"
#include "lib/core/coded_matrix.hpp"

// How the octets of KeptGroup are written and read, one value at a time: the kernels in variants/
// read them many rows at once.

namespace lathe::kernels {

inline constexpr std::size_t kept_octet = 8;

/// Columns of a piece: those of a group of codes, or as many as may be added up without scales.
[[nodiscard]] std::size_t kept_piece_cols(const NmMatrix& matrix);

/// The layout of pieces of so many columns, a multiple of m.
[[nodiscard]] KeptLayout kept_layout(const NmMatrix& matrix, std::size_t piece_cols);

/// The place of value i of row r of a strip, from the first column of its window; `octet` is the
/// first byte of the octet. What is written must have been 0.
void write_kept_place(const KeptLayout& layout, std::byte* octet, std::size_t i, std::size_t r,
                      std::size_t place);
[[nodiscard]] std::size_t read_kept_place(const KeptLayout& layout, const std::byte* octet,
                                          std::size_t i, std::size_t r);

/// The value: of integer codes what the scale multiplies, of binary ones the code. `values` is the
/// first byte behind the places. What is written must have been 0.
void write_kept_value(const KeptLayout& layout, std::byte* values, std::size_t i, std::size_t r,
                      float value);
[[nodiscard]] float read_kept_value(const KeptLayout& layout, const std::byte* values,
                                    std::size_t i, std::size_t r);

}  // namespace lathe::kernels
