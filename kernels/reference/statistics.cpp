#include <algorithm>
#include <cmath>

#include "kernels/reference/reference_backend.hpp"

namespace lathe::kernels {

void ReferenceBackend::do_accumulate_gram(MatrixView<const float> x,
                                          MatrixView<double> gram) const {
    for (std::size_t t = 0; t < x.rows; ++t) {
        for (std::size_t i = 0; i < x.cols; ++i) {
            for (std::size_t j = i; j < x.cols; ++j) {
                gram(i, j) += static_cast<double>(x(t, i)) * static_cast<double>(x(t, j));
            }
        }
    }
}

void ReferenceBackend::do_accumulate_column_statistics(MatrixView<const float> x,
                                                       const ColumnStatistics& statistics) const {
    for (std::size_t t = 0; t < x.rows; ++t) {
        for (std::size_t j = 0; j < x.cols; ++j) {
            const float value = x(t, j);
            statistics.sum_abs[j] += static_cast<double>(std::abs(value));
            statistics.minimum[j] = std::min(statistics.minimum[j], value);
            statistics.maximum[j] = std::max(statistics.maximum[j], value);
        }
    }
}

}  // namespace lathe::kernels
