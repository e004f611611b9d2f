#include "workers/sliced_weights.hpp"

#include <cmath>

#include "workers/fused_weights.hpp"
#include "workers/rotation.hpp"

namespace lathe {
namespace {

bool is_norm_of_stream(Role role) {
    return role == Role::attention_norm || role == Role::mlp_norm || role == Role::final_norm;
}

}  // namespace

std::vector<double> SlicedWeights::values(const TensorSpec& tensor) {
    const ModelSpec& fused = context_.fused->spec;
    if (is_norm_of_stream(tensor.role)) {
        return std::vector<double>(element_count(tensor.shape), 1.0);
    }
    const StreamSides sides = stream_sides(fused, tensor);
    if (is_shortcut(tensor.role)) {
        return product(basis(*sides.rows), widths_[*sides.rows], false, basis(*sides.columns), true,
                       widths_[*sides.columns], fused.hidden_size);
    }
    const auto index = fused.find(tensor.role, tensor.block, tensor.is_bias);
    std::vector<double> values = context_.fused->weights.values(index.value(), context_.backend());
    const Shape& whole = fused.tensors[*index].shape;
    const std::size_t rows = whole.front();
    const std::size_t cols = tensor.is_bias ? 1 : values.size() / rows;
    if (sides.columns && !tensor.is_bias) {
        values = product(values, rows, false, basis(*sides.columns), true, widths_[*sides.columns],
                         cols);
    }
    if (sides.rows) {
        values = product(basis(*sides.rows), widths_[*sides.rows], false, values, false,
                         values.size() / rows, rows);
    }
    scale_for_stock_norm(tensor, values);
    return values;
}

/// op(a) [m, k] @ op(b) [k, n]
std::vector<double> SlicedWeights::product(const std::vector<double>& a, std::size_t m,
                                           bool transpose_a, const std::vector<double>& b,
                                           bool transpose_b, std::size_t n, std::size_t k) const {
    std::vector<double> y(m * n);
    const auto view = [](const std::vector<double>& x, std::size_t rows, std::size_t cols,
                         bool turned) {
        return turned ? MatrixView<const double>(x.data(), cols, rows)
                      : MatrixView<const double>(x.data(), rows, cols);
    };
    context_.backend().multiply(view(a, m, k, transpose_a), transpose_a, view(b, k, n, transpose_b),
                                transpose_b, {y.data(), m, n});
    return y;
}

const std::vector<double>& SlicedWeights::basis(std::size_t boundary) {
    const auto known = bases_.find(boundary);
    if (known != bases_.end()) {
        return known->second;
    }
    return bases_.emplace(boundary, stream_basis(context_, boundary, widths_[boundary]))
        .first->second;
}

/// A stock norm divides by the mean over the width, not over the source's hidden size.
void SlicedWeights::scale_for_stock_norm(const TensorSpec& tensor,
                                         std::vector<double>& values) const {
    if (!target_.is_stock() || tensor.is_bias || !norm_before(target_.spec, tensor)) {
        return;
    }
    const double factor = std::sqrt(static_cast<double>(context_.fused->spec.hidden_size) /
                                    static_cast<double>(target_.spec.hidden_size));
    for (double& value : values) {
        value *= factor;
    }
}

}  // namespace lathe
