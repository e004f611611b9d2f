#include "workers/model/fused_weights.hpp"

#include <algorithm>
#include <cmath>

#include "lib/core/errors.hpp"
#include "lib/encoding/encoded_tensor.hpp"

namespace lathe {
namespace {

bool is_table(Role role) {
    return role == Role::token_embedding || role == Role::position_embedding ||
           role == Role::segment_embedding;
}

double mean(const double* values, std::size_t count, std::size_t step) {
    double sum = 0.0;
    for (std::size_t i = 0; i < count; ++i) {
        sum += values[i * step];
    }
    return sum / static_cast<double>(count);
}

/// Takes each row's mean away: a LayerNorm does so with the vectors of the stream.
void centre_rows(MatrixView<double> table) {
    for (std::size_t i = 0; i < table.rows; ++i) {
        const double m = mean(table.row(i), table.cols, 1);
        for (std::size_t j = 0; j < table.cols; ++j) {
            table(i, j) -= m;
        }
    }
}

/// The same for the outputs of a layer with this weight, or with this bias as one column.
void centre_columns(MatrixView<double> weight) {
    for (std::size_t j = 0; j < weight.cols; ++j) {
        const double m = mean(weight.data + j, weight.rows, weight.stride);
        for (std::size_t i = 0; i < weight.rows; ++i) {
            weight(i, j) -= m;
        }
    }
}

}  // namespace

std::vector<double> FusedWeights::source_values(std::size_t index,
                                                const kernels::Backend& backend) const {
    const auto [rows, cols] = matrix_extents(spec_.tensors.at(index).shape);
    const auto memory = backend.allocate<float>(rows * cols);
    weights_.load(index, backend, memory.matrix(rows, cols));
    std::vector<double> values(rows * cols);
    constexpr std::size_t step = 64;  // rows whose fp32 values fit into a cache
    std::vector<float> part(std::min(step, rows) * cols);
    for (std::size_t i = 0; i < rows; i += step) {
        const std::size_t n = std::min(step, rows - i);
        backend.download(memory.matrix(rows, cols).row_range(i, n), part.data());
        std::copy_n(part.data(), n * cols, values.data() + i * cols);
    }
    return values;
}

std::vector<double> FusedWeights::norm_values(std::optional<Role> norm,
                                              std::optional<std::size_t> block, bool is_bias,
                                              const kernels::Backend& backend) const {
    const auto index = norm ? spec_.find(*norm, block, is_bias) : std::nullopt;
    return index ? source_values(*index, backend) : std::vector<double>();
}

void FusedWeights::apply_embedding_norm(MatrixView<double> table,
                                        const kernels::Backend& backend) const {
    const auto gamma = norm_values(Role::embedding_norm, std::nullopt, false, backend);
    if (gamma.empty()) {
        return;
    }
    const auto beta = norm_values(Role::embedding_norm, std::nullopt, true, backend);
    if (spec_.norm == NormKind::layer) {
        centre_rows(table);
    }
    for (std::size_t i = 0; i < table.rows; ++i) {
        double squares = 0.0;
        for (std::size_t j = 0; j < table.cols; ++j) {
            squares += table(i, j) * table(i, j);
        }
        const double scale =
            1.0 / std::sqrt(squares / static_cast<double>(table.cols) + spec_.norm_epsilon);
        for (std::size_t j = 0; j < table.cols; ++j) {
            table(i, j) = table(i, j) * scale * gamma[j] + (beta.empty() ? 0.0 : beta[j]);
        }
    }
}

std::vector<double> FusedWeights::weight(const TensorSpec& tensor,
                                         const kernels::Backend& backend) const {
    std::vector<double> values = source_values(source_weight(spec_, tensor).value(), backend);
    const auto [rows, cols] = matrix_extents(tensor.shape);
    const MatrixView<double> matrix(values.data(), rows, cols);
    if (tensor.role == Role::token_embedding) {
        apply_embedding_norm(matrix, backend);
    }
    const auto gamma = norm_values(norm_before(spec_, tensor), tensor.block, false, backend);
    for (std::size_t i = 0; !gamma.empty() && i < rows; ++i) {
        for (std::size_t j = 0; j < cols; ++j) {
            matrix(i, j) *= gamma[j];
        }
    }
    if (spec_.norm == NormKind::layer && is_table(tensor.role)) {
        centre_rows(matrix);
    }
    if (spec_.norm == NormKind::layer && stream_sides(spec_, tensor).rows) {
        centre_columns(matrix);
    }
    return values;
}

std::vector<double> FusedWeights::bias(const TensorSpec& tensor,
                                       const kernels::Backend& backend) const {
    const auto index = spec_.find(tensor.role, tensor.block, true);
    std::vector<double> values =
        index ? source_values(*index, backend) : std::vector<double>(tensor.shape.front());
    const auto beta = norm_values(norm_before(spec_, tensor), tensor.block, true, backend);
    if (!beta.empty()) {
        const std::vector<double> w = source_values(source_weight(spec_, tensor).value(), backend);
        for (std::size_t i = 0; i < values.size(); ++i) {
            for (std::size_t j = 0; j < beta.size(); ++j) {
                values[i] += w[i * beta.size() + j] * beta[j];
            }
        }
    }
    if (spec_.norm == NormKind::layer && stream_sides(spec_, tensor).rows) {
        centre_columns({values.data(), values.size(), 1});
    }
    return values;
}

std::vector<double> FusedWeights::values(std::size_t index, const kernels::Backend& backend) const {
    const TensorSpec& tensor = fused_.tensors.at(index);
    const bool is_per_head = tensor.role == Role::q_norm || tensor.role == Role::k_norm;
    if (is_per_head) {
        const auto own = spec_.find(tensor.role, tensor.block, tensor.is_bias);
        return source_values(own.value(), backend);
    }
    return tensor.is_bias ? bias(tensor, backend) : weight(tensor, backend);
}

std::vector<double> FusedWeights::around_shared_table(const TensorSpec& tensor,
                                                      const kernels::Backend& backend) const {
    if (tensor.role == Role::token_embedding) {
        return source_values(source_weight(spec_, tensor).value(), backend);
    }
    const std::vector<double> of_norm =
        norm_values(norm_before(spec_, tensor), std::nullopt, tensor.is_bias, backend);
    if (tensor.is_bias) {
        return of_norm;
    }
    const std::size_t d = spec_.hidden_size;
    std::vector<double> values(d * d, 0.0);
    for (std::size_t i = 0; i < d; ++i) {
        values[i * d + i] = of_norm.empty() ? 1.0 : of_norm[i];
    }
    if (tensor.role == Role::embedding_projection && spec_.norm == NormKind::layer) {
        centre_columns({values.data(), d, d});
    }
    return values;
}

void FusedWeights::load(std::size_t index, const kernels::Backend& backend,
                        MatrixView<float> values) const {
    const std::vector<double> exact = this->values(index, backend);
    backend.upload(reinterpret_cast<const std::byte*>(exact.data()), DType::f64, values);
}

}  // namespace lathe
