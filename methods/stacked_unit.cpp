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
        importance[j] = static_cast<float>(statistics.gram(j, j));
    }
    std::vector<float> stacked;
    stacked.reserve(n_rows * n_cols);
    for (const UnitTensor& tensor : tensors) {
        for (std::size_t r = 0; r < tensor.weight.rows; ++r) {
            stacked.insert(stacked.end(), tensor.weight.row(r), tensor.weight.row(r) + n_cols);
        }
    }
    for (std::size_t j = 0; has_gram && j < n_cols; ++j) {
        for (std::size_t r = 0; statistics.gram(j, j) == 0.0 && r < n_rows; ++r) {
            stacked[r * n_cols + j] = 0.0F;
        }
    }
    memory_ = backend.allocate<float>(stacked.size());
    weight_ = memory_.matrix(n_rows, n_cols);
    backend.copy({stacked.data(), n_rows, n_cols}, memory_.matrix(n_rows, n_cols));
    importance_ = backend.allocate<float>(n_cols);
    backend.copy({importance.data(), 1, n_cols}, importance_.matrix(1, n_cols));
}

std::size_t StackedUnit::first_row(std::size_t t) const {
    return total_rows(tensors_.first(t));
}

}  // namespace lathe
