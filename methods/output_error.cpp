#include "methods/output_error.hpp"

#include <algorithm>
#include <numeric>

#include "lib/core/errors.hpp"

namespace lathe {
namespace {

std::vector<double> lookup_errors(MatrixView<const float> weight, MatrixView<const float> values,
                                  std::span<const float> row_weights) {
    if (row_weights.size() != weight.rows) {
        throw ShapeError("row_weights has " + std::to_string(row_weights.size()) +
                         " entries, expected one for each row of the table " + weight.shape_text());
    }
    std::vector<double> errors(weight.rows, 0.0);
    for (std::size_t r = 0; r < weight.rows; ++r) {
        for (std::size_t j = 0; j < weight.cols; ++j) {
            const double difference =
                static_cast<double>(weight(r, j)) - static_cast<double>(values(r, j));
            errors[r] += difference * difference;
        }
        errors[r] *= static_cast<double>(row_weights[r]);
    }
    return errors;
}

}  // namespace

OutputError::OutputError(const UnitStatistics& statistics, const kernels::Backend& backend)
    : backend_(backend),
      gram_(backend.resident(statistics.gram, device_gram_)),
      row_weights_(statistics.row_weights) {}

std::vector<double> OutputError::of_rows(MatrixView<const float> weight,
                                         MatrixView<const float> values) const {
    if (gram_.rows == 0) {
        const std::vector<float> w = backend_.to_host(weight);
        const std::vector<float> v = backend_.to_host(values);
        return lookup_errors({w.data(), weight.rows, weight.cols},
                             {v.data(), values.rows, values.cols}, row_weights_);
    }
    const auto memory = backend_.allocate<float>(weight.rows * weight.cols);
    const MatrixView<float> delta = memory.matrix(weight.rows, weight.cols);
    backend_.subtract(weight, values, delta);
    std::vector<double> errors(weight.rows);
    backend_.row_errors(delta, gram(), errors);
    for (double& error : errors) {
        error = std::max(error, 0.0);  // rounding may take a vanishing error below zero
    }
    return errors;
}

double OutputError::of_tensor(MatrixView<const float> weight,
                              MatrixView<const float> values) const {
    const std::vector<double> errors = of_rows(weight, values);
    return std::accumulate(errors.begin(), errors.end(), 0.0);
}

}  // namespace lathe
