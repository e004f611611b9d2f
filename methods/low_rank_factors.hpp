#pragma once

#include <vector>

#include "kernels/contract/backend.hpp"
#include "lib/core/matrix_view.hpp"

namespace lathe {

/// Factors of every rank of a matrix W [m, n], in fp64: those of rank r are the first r.
struct Components {
    std::size_t rows = 0;  ///< m
    std::size_t cols = 0;  ///< n
    /// [min(m, n), m] row k is the direction of outputs that holds the k-th most energy, a unit
    /// vector; rows of vanishing energy may be zeros.
    std::vector<double> left;
    std::vector<double> right;   ///< [min(m, n), n] row k is left_k W
    std::vector<double> energy;  ///< [min(m, n)] mean squared output along left_k, falling

    /// [r, m] and [r, n].
    [[nodiscard]] MatrixView<const double> left_rows(std::size_t rank) const {
        return {left.data(), rank, rows};
    }
    [[nodiscard]] MatrixView<const double> right_rows(std::size_t rank) const {
        return {right.data(), rank, cols};
    }
};

/// Principal components of the outputs of W for inputs with the Gram matrix G [n, n]: eigenvectors
/// of W G W^T. Solves a problem of the smaller side: with more rows than columns the eigenvectors
/// are those of K^T G K, W^T W = K K^T, brought back. G may be singular.
[[nodiscard]] Components output_components(MatrixView<const float> weight,
                                           MatrixView<const double> gram,
                                           const kernels::Backend& backend);

/// The left factor [m, r] that fits W best when the right one is `right` [r, n]:
/// W G right^T (right G right^T)^-1; `narrow_gram` [r, r] becomes right G right^T.
[[nodiscard]] std::vector<float> fit_left(MatrixView<const float> weight,
                                          MatrixView<const double> gram,
                                          MatrixView<const float> right,
                                          std::vector<double>& narrow_gram,
                                          const kernels::Backend& backend);

}  // namespace lathe
