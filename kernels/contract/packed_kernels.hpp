#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "kernels/contract/kernel_list.hpp"
#include "lib/core/coded_matrix.hpp"
#include "lib/core/matrix_view.hpp"

namespace lathe::kernels {

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
#define LATHE_KERNEL LATHE_PURE_KERNEL
#include "kernels/contract/packed_kernels.def"
#undef LATHE_KERNEL
};

}  // namespace lathe::kernels
