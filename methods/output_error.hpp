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
    /// @pre  what `statistics` refers to outlives the object
    OutputError(const UnitStatistics& statistics, const kernels::Backend& backend);

    /// Squared error of each output of `weight` [rows, cols] when it is replaced by `values`; for a
    /// table of embeddings that of each row, as often as it is looked up. fp64, at least 0.
    [[nodiscard]] std::vector<double> of_rows(MatrixView<const float> weight,
                                              MatrixView<const float> values) const;

    /// Their sum.
    [[nodiscard]] double of_tensor(MatrixView<const float> weight,
                                   MatrixView<const float> values) const;

    /// The Gram matrix where kernels read it as it is; empty for a unit that reads token ids.
    [[nodiscard]] MatrixView<const float> gram() const { return gram_; }

private:
    const kernels::Backend& backend_;
    kernels::Array<float> device_gram_;  ///< empty if kernels work on the host
    MatrixView<const float> gram_;
    std::span<const float> row_weights_;
};

}  // namespace lathe
