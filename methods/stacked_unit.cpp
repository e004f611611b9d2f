#include "methods/stacked_unit.hpp"

#include <algorithm>

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
    memory_ = backend.allocate<float>(total_rows(tensors) * n_cols);
    weight_ = memory_.matrix(total_rows(tensors), n_cols);
    importance_ = backend.allocate<float>(n_cols);
    const bool has_gram = statistics.gram.rows > 0;
    for (std::size_t j = 0; j < n_cols; ++j) {
        importance_.data()[j] = has_gram ? static_cast<float>(statistics.gram(j, j)) : 1.0F;
    }
    for (std::size_t t = 0; t < tensors.size(); ++t) {
        const MatrixView<float> target = rows_of(t, weight_);
        for (std::size_t r = 0; r < target.rows; ++r) {
            std::copy_n(tensors[t].weight.row(r), n_cols, target.row(r));
        }
    }
    for (std::size_t j = 0; has_gram && j < n_cols; ++j) {
        for (std::size_t r = 0; statistics.gram(j, j) == 0.0 && r < weight_.rows; ++r) {
            weight_(r, j) = 0.0F;
        }
    }
}

std::size_t StackedUnit::first_row(std::size_t t) const {
    return total_rows(tensors_.first(t));
}

}  // namespace lathe
