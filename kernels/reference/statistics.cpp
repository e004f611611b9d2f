#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <utility>
#include <vector>

#include "kernels/reference/reference_backend.hpp"

namespace lathe::kernels {

void ReferenceBackend::do_accumulate_gram(MatrixView<const float> x,
                                          UpperTriangle<float> gram) const {
    for (std::size_t i = 0; i < x.cols; ++i) {
        for (std::size_t j = i; j < x.cols; ++j) {
            double sum = gram(i, j);
            for (std::size_t t = 0; t < x.rows; ++t) {
                sum += static_cast<double>(x(t, i)) * static_cast<double>(x(t, j));
            }
            gram(i, j) = static_cast<float>(sum);
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

void ReferenceBackend::do_scale_rows(MatrixView<const float> x, std::span<const float> factors,
                                     MatrixView<float> y) const {
    for (std::size_t t = 0; t < x.rows; ++t) {
        for (std::size_t j = 0; j < x.cols; ++j) {
            y(t, j) = factors[t] * x(t, j);
        }
    }
}

void ReferenceBackend::do_count_largest(MatrixView<const float> x,
                                        std::span<const float> column_weights,
                                        std::size_t per_token, std::span<double> counts) const {
    std::vector<std::size_t> order(x.cols);
    for (std::size_t t = 0; t < x.rows; ++t) {
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::ranges::stable_sort(order, std::greater<>(), [&](std::size_t j) {
            const float product = std::abs(x(t, j)) * column_weights[j];
            return std::pair(std::isnan(product), std::isnan(product) ? 0.0F : product);
        });
        for (std::size_t k = 0; k < per_token; ++k) {
            counts[order[k]] += 1.0;
        }
    }
}

}  // namespace lathe::kernels
