#pragma once

#include <span>

#include "kernels/contract/backend.hpp"
#include "methods/method.hpp"

namespace lathe {

/// The tensors of a unit on top of one another: they share an input, and solvers treat each row by
/// itself, so that one call does them all.
class StackedUnit {
public:
    /// Copies the weights into the backend's memory; those of dead inputs (with a zero on the
    /// diagonal of the Gram matrix) become 0: they cost nothing, and they must not widen the grid
    /// of their group.
    StackedUnit(std::span<const UnitTensor> tensors, const UnitStatistics& statistics,
                const kernels::Backend& backend);

    [[nodiscard]] std::size_t rows() const { return weight_.rows; }
    [[nodiscard]] std::size_t cols() const { return weight_.cols; }
    /// [rows, cols], dead inputs at 0.
    [[nodiscard]] MatrixView<const float> weight() const { return weight_; }
    /// Diagonal of the Gram matrix, or 1 for each column where there is none. [cols]
    [[nodiscard]] std::span<const float> importance() const { return importance_.span(); }

    [[nodiscard]] std::span<const UnitTensor> tensors() const { return tensors_; }
    /// The rows of tensor t in a matrix of the stack's rows.
    template <class T>
    [[nodiscard]] MatrixView<T> rows_of(std::size_t t, MatrixView<T> matrix) const {
        return matrix.row_range(first_row(t), tensors_[t].weight.rows);
    }

private:
    [[nodiscard]] std::size_t first_row(std::size_t t) const;

    std::span<const UnitTensor> tensors_;
    kernels::Array<float> memory_;
    MatrixView<const float> weight_;
    kernels::Array<float> importance_;
};

}  // namespace lathe
