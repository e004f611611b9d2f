#include "methods/stacked_unit.hpp"

#include <vector>

namespace lathe {
namespace {

std::size_t total_rows(std::span<const UnitTensor> tensors) {
    std::size_t rows = 0;
    for (const UnitTensor& tensor : tensors) {
        rows += tensor.weight.rows;
    }
    return rows;
}

}  // namespace

StackedUnit::StackedUnit(std::span<const UnitTensor> tensors, const UnitStatistics& statistics,
                         const kernels::Backend& backend)
    : tensors_(tensors) {
    const std::size_t n_cols = tensors.empty() ? 0 : tensors.front().weight.cols;
    const std::size_t n_rows = total_rows(tensors);
    const bool has_gram = statistics.gram.rows > 0;
    std::vector<float> importance(n_cols, 1.0F);
    for (std::size_t j = 0; has_gram && j < n_cols; ++j) {
        importance[j] = statistics.gram(j, j);
    }
    memory_ = backend.allocate<float>(n_rows * n_cols);
    const MatrixView<float> stacked = memory_.matrix(n_rows, n_cols);
    weight_ = stacked;
    std::size_t first = 0;
    for (const UnitTensor& tensor : tensors) {
        backend.copy(tensor.weight, stacked.row_range(first, tensor.weight.rows));
        first += tensor.weight.rows;
    }
    const std::vector<float> zeros(n_rows);
    for (std::size_t j = 0; has_gram && j < n_cols; ++j) {
        if (statistics.gram(j, j) == 0.0F) {
            backend.copy<float>({zeros.data(), n_rows, 1}, stacked.col_range(j, 1));
        }
    }
    importance_ = backend.allocate<float>(n_cols);
    backend.copy({importance.data(), 1, n_cols}, importance_.matrix(1, n_cols));
}

std::size_t StackedUnit::first_row(std::size_t t) const {
    return total_rows(tensors_.first(t));
}

}  // namespace lathe
