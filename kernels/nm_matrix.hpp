#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "kernels/sparsity_kernels.hpp"
#include "lib/core/dtype.hpp"

namespace lathe::kernels {

/// Where NmMatrix::read writes a row, stored = cols / m * n. What the matrix does not have is null.
struct NmRow {
    std::uint8_t* keep = nullptr;   ///< [cols] 1 at n of each m columns, else 0
    float* values = nullptr;        ///< [stored] without codes: of the kept columns, left to right
    std::uint8_t* codes = nullptr;  ///< [stored] with codes, likewise
    float* scales = nullptr;        ///< [ceil(cols / group_size)] with codes: fp16 numbers
};

/// A weight matrix of which n of each m consecutive columns are stored, for Backend::pack(). All
/// others are 0. A value is a number, or scale * (code - 2^(num_bits-1)).
struct NmMatrix {
    std::size_t rows = 0;
    std::size_t cols = 0;   ///< a multiple of pattern.m
    NmPattern pattern;      ///< 1 <= n <= m <= 64
    unsigned num_bits = 0;  ///< of codes, 2 .. 8; 0 without codes
    /// Without codes: a floating type that holds the values exactly.
    DType value_type = DType::f32;
    std::size_t group_size = 0;  ///< with codes: columns that share a scale, a multiple of m
    std::function<void(std::size_t row, const NmRow& to)> read;

    [[nodiscard]] std::size_t stored() const { return cols / pattern.m * pattern.n; }
};

}  // namespace lathe::kernels
