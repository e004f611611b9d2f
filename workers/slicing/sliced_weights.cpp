#include "workers/slicing/sliced_weights.hpp"

#include <algorithm>
#include <cmath>

#include "lib/core/errors.hpp"
#include "workers/model/fused_weights.hpp"
#include "workers/slicing/rotation.hpp"

namespace lathe {
namespace {

bool is_norm_of_stream(Role role) {
    return role == Role::attention_norm || role == Role::mlp_norm || role == Role::final_norm;
}

bool is_around_table(Role role) {
    return role == Role::token_embedding || role == Role::embedding_projection ||
           role == Role::head_projection;
}

}  // namespace

std::vector<double> SlicedWeights::values(const TensorSpec& tensor) {
    const ModelSpec& fused = context_.fused->spec;
    if (is_norm_of_stream(tensor.role)) {
        return std::vector<double>(element_count(tensor.shape), 1.0);
    }
    const StreamSides sides = stream_sides(target_.spec, tensor);
    if (is_shortcut(tensor.role)) {
        return product(basis(*sides.rows), widths_[*sides.rows], false, basis(*sides.columns), true,
                       widths_[*sides.columns], fused.hidden_size);
    }
    const auto index = fused.find(tensor.role, tensor.block, tensor.is_bias);
    const bool is_shared = target_.spec.shares_table() && is_around_table(tensor.role);
    const FusedWeights& source = context_.fused->weights;
    std::vector<double> values = is_shared ? source.around_shared_table(tensor, context_.backend())
                                           : source.values(index.value(), context_.backend());
    const std::size_t rows = sides.rows ? fused.hidden_size : tensor.shape.front();
    const std::size_t cols = tensor.is_bias ? 1 : values.size() / rows;
    if (sides.columns && !tensor.is_bias) {
        values = product(values, rows, false, reading_basis(tensor, *sides.columns), true,
                         widths_[*sides.columns], cols);
    }
    if (sides.rows) {
        values = product(basis(*sides.rows), widths_[*sides.rows], false, values, false,
                         values.size() / rows, rows);
        add_fit_of_writing(tensor, *sides.rows, values);
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

std::vector<double> SlicedWeights::reading_basis(const TensorSpec& tensor, std::size_t boundary) {
    std::vector<double> rows = basis(boundary);
    const auto fit = fits_.find(boundary);
    if (fit == fits_.end() || fit->second.reading.empty() ||
        !norm_before(context_.given_model().spec, tensor)) {
        return rows;
    }
    const std::vector<float>& change = fit->second.reading;
    const std::size_t width = widths_[boundary];
    const std::size_t hidden = context_.fused->spec.hidden_size;
    if (change.size() != rows.size()) {
        throw InternalError("a fit of " + std::to_string(change.size()) +
                            " values for a basis of " + std::to_string(rows.size()));
    }
    for (std::size_t i = 0; i < width; ++i) {
        for (std::size_t j = 0; j < hidden; ++j) {
            rows[i * hidden + j] += double{change[j * width + i]};
        }
    }
    return rows;
}

void SlicedWeights::add_fit_of_writing(const TensorSpec& tensor, std::size_t boundary,
                                       std::vector<double>& values) const {
    const auto fit = boundary == 0 ? fits_.end() : fits_.find(boundary - 1);
    if (fit == fits_.end() || tensor.is_bias) {
        return;
    }
    const auto change = fit->second.writing.find(tensor.role);
    if (change == fit->second.writing.end() || change->second.empty()) {
        return;
    }
    if (change->second.size() != values.size()) {
        throw InternalError("a fit of " + std::to_string(change->second.size()) + " values for " +
                            tensor.name + ", which has " + std::to_string(values.size()));
    }
    std::ranges::transform(values, change->second, values.begin(),
                           [](double value, float added) { return value + double{added}; });
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
