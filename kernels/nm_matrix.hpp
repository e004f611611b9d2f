#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "kernels/rounding_kernels.hpp"
#include "kernels/sparsity_kernels.hpp"
#include "lib/core/dtype.hpp"

namespace lathe::kernels {

/// Where NmMatrix::read writes a row, stored = cols / m * n. What the matrix does not have is null.
struct NmRow {
    std::uint8_t* keep = nullptr;   ///< [cols] 1 at n of each m columns, else 0
    float* values = nullptr;        ///< [stored] without codes: of the kept columns, left to right
    std::uint8_t* codes = nullptr;  ///< [stored] with codes, likewise
    /// [groups * scales_per_group()] with codes: fp16 numbers; groups = ceil(cols / group_size).
    float* scales = nullptr;
    float* offsets = nullptr;  ///< [groups] with has_offsets: fp16 numbers
};

/// A weight matrix of which n of each m consecutive columns are stored, for Backend::pack(). All
/// others are 0. A value is
///   a number,                          without codes,
///   scale * (code - 2^(num_bits-1)),   with codes,
///   a level as in BinaryCodeSettings,  with binary codes.
struct NmMatrix {
    std::size_t rows = 0;
    std::size_t cols = 0;   ///< a multiple of pattern.m
    NmPattern pattern;      ///< 1 <= n <= m <= 64
    unsigned num_bits = 0;  ///< of codes, 2 .. 8, of binary ones 1 .. 4; 0 without codes
    bool binary = false;
    bool has_offsets = false;  ///< of binary codes; else offsets are 0
    /// Without codes: a floating type that holds the values exactly.
    DType value_type = DType::f32;
    std::size_t group_size = 0;  ///< with codes: columns that share scales, a multiple of m
    std::function<void(std::size_t row, const NmRow& to)> read;

    [[nodiscard]] std::size_t stored() const { return cols / pattern.m * pattern.n; }
    /// 0 without codes.
    [[nodiscard]] std::size_t groups() const {
        return num_bits == 0 ? 0 : group_count(cols, group_size);
    }
    [[nodiscard]] std::size_t scales_per_group() const { return binary ? num_bits : 1; }
};

}  // namespace lathe::kernels
