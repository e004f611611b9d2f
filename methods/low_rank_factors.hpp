#pragma once

#include <vector>

#include "kernels/contract/backend.hpp"
#include "lib/core/matrix_view.hpp"

namespace lathe {

/// Right factors of every rank of a matrix W [m, n], in fp64: those of rank r are the first r rows.
struct Components {
    std::size_t cols = 0;  ///< n
    /// [min(m, n), n] row k is u_k W, u_k being the direction of outputs, a unit vector, that holds
    /// the k-th most energy.
    std::vector<double> right;
    std::vector<double> energy;  ///< [min(m, n)] mean squared output along u_k, falling

    /// [r, n].
    [[nodiscard]] MatrixView<const double> right_rows(std::size_t rank) const {
        return {right.data(), rank, cols};
    }
};

/// Principal components of the outputs of W for inputs with the Gram matrix G [n, n]: eigenvectors
/// of W G W^T. Solves a problem of the smaller side: with more rows than columns the eigenvectors
/// are those of K^T G K, W^T W = K K^T, times K. G may be singular.
[[nodiscard]] Components output_components(MatrixView<const float> weight,
                                           MatrixView<const float> gram,
                                           const kernels::Backend& backend);

/// The left factor [m, r] that fits W best when the right one is `right` [r, n]:
/// W G right^T (right G right^T)^-1; `narrow_gram` [r, r] becomes right G right^T.
[[nodiscard]] std::vector<float> fit_left(MatrixView<const float> weight,
                                          MatrixView<const float> gram,
                                          MatrixView<const float> right,
                                          std::vector<float>& narrow_gram,
                                          const kernels::Backend& backend);

}  // namespace lathe
