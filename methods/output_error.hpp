#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "kernels/contract/backend.hpp"
#include "methods/method.hpp"

namespace lathe {

/// Measures what changed weights do to the output of a unit, averaged over calibration tokens.
class OutputError {
public:
    /// Makes the fp32 copy of the Gram matrix that row_errors() of a backend wants.
    OutputError(const UnitStatistics& statistics, const kernels::Backend& backend);

    /// Squared error of each output of `weight` [rows, cols] when it is replaced by `values`; for a
    /// table of embeddings that of each row, as often as it is looked up. fp64, at least 0.
    [[nodiscard]] std::vector<double> of_rows(MatrixView<const float> weight,
                                              MatrixView<const float> values) const;

    /// Their sum.
    [[nodiscard]] double of_tensor(MatrixView<const float> weight,
                                   MatrixView<const float> values) const;

    /// The Gram matrix in fp32, both triangles; empty for a unit that reads token ids.
    [[nodiscard]] MatrixView<const float> gram() const {
        return gram_.matrix(n_inputs_, n_inputs_);
    }

private:
    const kernels::Backend& backend_;
    kernels::Array<float> gram_;
    std::size_t n_inputs_ = 0;  ///< 0: the unit reads token ids
    std::span<const float> row_weights_;
};

}  // namespace lathe
