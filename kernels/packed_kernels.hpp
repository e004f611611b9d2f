#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "lib/core/matrix_view.hpp"

namespace lathe::kernels {

/// How products with packed weights may read x: exactly, or with x or sums of it rounded to 8 bits
/// on a scale for each group of columns, which is less work. A backend may always be exact.
enum class LookupTables { fp32, int8 };

/// A weight matrix of small codes as it is stored, for pack(): of each row the codes [cols], and
///   uniform  one scale and one zero for each group: value = scale * (code - zero)
///   else     num_bits scales and one offset for each group, as in BinaryCodeSettings
/// Scales and offsets are fp16 numbers, zeros codes.
struct CodedMatrix {
    std::size_t rows = 0;
    std::size_t cols = 0;
    unsigned num_bits = 4;  ///< 1 .. 8
    std::size_t group_size = 64;
    bool uniform = true;
    /// Whether zeros or offsets are looked at; else a zero is 2^(num_bits-1), an offset 0.
    bool has_offsets = true;
    LookupTables tables = LookupTables::fp32;
    /// Writes codes, scales [group_count * (uniform ? 1 : num_bits)] and zeros or offsets
    /// [group_count] of a row; without has_offsets it may leave those alone.
    std::function<void(std::size_t row, std::uint8_t* codes, float* scales, float* offsets)> read;
};

struct NmMatrix;  // kernels/nm_matrix.hpp

/// A weight matrix [rows, cols] of codes in the order that a backend's kernels read. Made by
/// Backend::pack(), and of use to that backend only.
class PackedMatrix {
public:
    virtual ~PackedMatrix() = default;
    [[nodiscard]] virtual std::size_t rows() const noexcept = 0;
    [[nodiscard]] virtual std::size_t cols() const noexcept = 0;
    /// Memory that it takes.
    [[nodiscard]] virtual std::size_t size_bytes() const noexcept = 0;
};

/// One of the products of Backend::linear() with packed weights: y = x @ weight^T + bias.
struct PackedProduct {
    const PackedMatrix* weight = nullptr;
    std::span<const float> bias;  ///< [weight.rows] or empty
    MatrixView<float> y;          ///< [T, weight.rows]
};

/// Products with weights as they are stored. Part of Backend, which says what holds for all
/// kernels.
class PackedKernels {
public:
    /// Takes over a coded weight matrix for linear() and embed() below.
    [[nodiscard]] std::unique_ptr<const PackedMatrix> pack(const CodedMatrix& matrix) const;

    /// The same for N:M sparse weights. @throws UsageError  unless multiplies_nm()
    [[nodiscard]] std::unique_ptr<const PackedMatrix> pack(const NmMatrix& matrix) const;

    /// Whether this backend has products with N:M sparse weights.
    [[nodiscard]] virtual bool multiplies_nm() const noexcept { return true; }

    /// y = x @ w^T + bias for each of several packed weights that read the same x [T, in]; what can
    /// be computed from x alone is computed once. No y may be x.
    /// Relative 2-norm difference per row to fp64 on the weights' values: 1e-5; for up to 8 tokens
    /// with tables of int8 1e-2.
    void linear(MatrixView<const float> x, std::span<const PackedProduct> products) const;

    /// y[t] = row ids[t] of a packed table, in the shapes of embed().  Relative 1e-6 to the values
    /// that the codes stand for.
    /// @throws DataError  if an id is not below the number of rows
    void embed(std::span<const std::uint32_t> ids, const PackedMatrix& table,
               MatrixView<float> y) const;

protected:
    ~PackedKernels() = default;

private:
    virtual std::unique_ptr<const PackedMatrix> do_pack(const CodedMatrix& matrix) const = 0;
    virtual std::unique_ptr<const PackedMatrix> do_pack_nm(const NmMatrix& matrix) const = 0;
    virtual void do_linear_packed(MatrixView<const float> x,
                                  std::span<const PackedProduct> products) const = 0;
    virtual void do_embed_packed(std::span<const std::uint32_t> ids, const PackedMatrix& table,
                                 MatrixView<float> y) const = 0;
};

}  // namespace lathe::kernels
