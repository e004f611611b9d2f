#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "kernels/contract/backend.hpp"
#include "methods/method.hpp"

namespace lathe {

/// What ADMM solvers need of a Gram matrix H [d, d]: A = H + damping * mean(diag H) * I, with 1 on
/// the diagonal in place of a dead input's 0, and inverses of A + rho * diag(A).
///
/// The penalty of column j is rho * A_jj. In columns scaled by sqrt(A_jj) that is a plain penalty
/// rho on a matrix with unit diagonal, without which the solutions are worse than those of plain
/// error feedback (Boza 2024, arXiv:2401.02938).
class SplittingSystem {
public:
    SplittingSystem(MatrixView<const float> gram, double damping, const kernels::Backend& backend);

    [[nodiscard]] std::size_t d() const { return diagonal_.size(); }
    /// The diagonal of A. [d]
    [[nodiscard]] std::span<const float> diagonal() const { return diagonal_; }
    /// A. [d, d]
    [[nodiscard]] MatrixView<const float> matrix() const { return matrix_.matrix(d(), d()); }
    /// W @ A. w, product [rows, d]
    void multiply(MatrixView<const float> w, MatrixView<float> product) const;
    /// rho * A_jj of each column.
    [[nodiscard]] std::vector<float> penalty(double rho) const;
    /// (A + rho * diag(A))^-1, both triangles. Valid until the next call. In fp32, but for
    /// penalties so small that rounding might show, below about d / 500 000.
    [[nodiscard]] MatrixView<const float> inverse(double rho);

private:
    void invert_exactly(double rho);

    const kernels::Backend& backend_;
    std::vector<float> diagonal_;
    kernels::Array<float> matrix_;  ///< A
    kernels::Array<float> inverse_;
};

/// What solvers that work on one Gram matrix with one feedback share. Each part is made when it is
/// first asked for.
class UnitFactors {
public:
    /// @pre  what `statistics` refers to outlives the object
    /// @throws InternalError  if there is no Gram matrix
    UnitFactors(const UnitStatistics& statistics, const ErrorFeedback& feedback,
                const kernels::Backend& backend);

    [[nodiscard]] const ErrorFeedback& feedback() const { return feedback_; }
    /// column_order()
    [[nodiscard]] std::span<const std::uint32_t> order() const { return order_; }
    /// make_inverse_factor(), or what is stored of it. [d, d]
    [[nodiscard]] MatrixView<const float> inverse_factor();
    /// Frees it, until it is asked for again.
    void release_inverse_factor();
    [[nodiscard]] SplittingSystem& system();

private:
    const UnitStatistics& statistics_;
    ErrorFeedback feedback_;
    const kernels::Backend& backend_;
    std::vector<std::uint32_t> order_;
    std::vector<float> stored_factor_;   ///< in host memory; empty: none
    kernels::Array<float> made_factor_;  ///< or a copy of that, for kernels that do not read it
    MatrixView<const float> factor_;     ///< of one of them; empty: not there
    std::optional<SplittingSystem> system_;
};

}  // namespace lathe
