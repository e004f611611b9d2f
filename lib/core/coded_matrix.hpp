#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <variant>

#include "lib/core/dtype.hpp"

// Weights of few bits, read row by row: what an encoding says of a tensor that it stores
// (lib/encoding), and what kernels multiply by (Backend::pack()). Neither knows the other.

namespace lathe {

/// How products may read x: exactly, or with x or sums of it rounded to 8 bits on a scale for each
/// group of columns, which is less work. A backend may always be exact.
enum class LookupTables { fp32, int8 };

/// A matrix of small codes: of each row the codes [cols], and
///   uniform  one scale and one zero for each group: value = scale * (code - zero)
///   else     num_bits scales and one offset for each group: value = offset + sum over p of
///            (bit p of the code ? +1 : -1) * scale_p, added up in fp32 in this order
/// A group is group_size columns, the last one of a row may be short. Scales and offsets are fp16
/// numbers, zeros codes.
struct CodedMatrix {
    std::size_t rows = 0;
    std::size_t cols = 0;
    unsigned num_bits = 4;  ///< 1 .. 8
    std::size_t group_size = 64;
    bool uniform = true;
    /// Whether zeros or offsets are looked at; else a zero is 2^(num_bits-1), an offset 0.
    bool has_offsets = true;
    LookupTables tables = LookupTables::fp32;
    /// Writes codes, scales [groups * (uniform ? 1 : num_bits)] and zeros or offsets [groups] of a
    /// row; without has_offsets it may leave those alone.
    std::function<void(std::size_t row, std::uint8_t* codes, float* scales, float* offsets)> read;
};

/// N:M sparsity: of each m consecutive elements of a row (the last group may be short) at most n
/// are not zero. m = 0: no such limit.
struct NmPattern {
    std::size_t n = 0;
    std::size_t m = 0;

    bool operator==(const NmPattern&) const = default;
};

/// Where NmMatrix::read writes a row, stored = cols / m * n. What the matrix does not have is null.
struct NmRow {
    std::uint8_t* keep = nullptr;   ///< [cols] 1 at n of each m columns, else 0
    float* values = nullptr;        ///< [stored] without codes: of the kept columns, left to right
    std::uint8_t* codes = nullptr;  ///< [stored] with codes, likewise
    float* scales = nullptr;        ///< [groups() * scales_per_group()] with codes: fp16 numbers
    float* offsets = nullptr;       ///< [groups()] with has_offsets: fp16 numbers
};

/// A matrix of which n of each m consecutive columns are stored; all others are 0. A value is
///   a number,                               without codes,
///   scale * (code - 2^(num_bits-1)),        with codes,
///   as in a CodedMatrix that is not uniform, with binary codes.
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
        return num_bits == 0 ? 0 : (cols + group_size - 1) / group_size;
    }
    [[nodiscard]] std::size_t scales_per_group() const { return binary ? num_bits : 1; }
};

/// One or the other.
using StoredMatrix = std::variant<CodedMatrix, NmMatrix>;

}  // namespace lathe
