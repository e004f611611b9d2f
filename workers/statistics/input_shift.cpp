#include "workers/statistics/input_shift.hpp"

#include <algorithm>
#include <functional>
#include <numeric>

#include "lib/core/errors.hpp"
#include "lib/core/upper_triangle.hpp"
#include "methods/splitting.hpp"

namespace lathe {

namespace {

/// From hardly any to one that leaves half of what calibration shows best.
constexpr std::array penalties{0.01, 0.03, 0.1, 0.3, 1.0};

/// First token and number of those of half 0 or 1 of a batch.
std::pair<std::size_t, std::size_t> half_of(std::size_t tokens, std::size_t half) {
    const std::size_t middle = (tokens + 1) / 2;
    return half == 0 ? std::pair(std::size_t{0}, middle) : std::pair(middle, tokens - middle);
}

/// Host values in fp64, in backend memory.
kernels::Array<double> widened(std::span<const float> values, const kernels::Backend& backend) {
    const std::vector<double> host(values.begin(), values.end());
    kernels::Array<double> wide = backend.allocate<double>(host.size());
    backend.copy<double>({host.data(), 1, host.size()}, wide.matrix(1, host.size()));
    return wide;
}

/// Host values as a matrix in backend memory.
kernels::Array<float> uploaded(const std::vector<float>& values, std::size_t cols,
                               const kernels::Backend& backend) {
    kernels::Array<float> matrix = backend.allocate<float>(values.size());
    backend.upload(reinterpret_cast<const std::byte*>(values.data()), DType::f32,
                   matrix.matrix(values.size() / cols, cols));
    return matrix;
}

std::vector<float> transposed(const std::vector<float>& values, std::size_t rows,
                              std::size_t cols) {
    std::vector<float> turned(values.size());
    for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t j = 0; j < cols; ++j) {
            turned[j * rows + i] = values[i * cols + j];
        }
    }
    return turned;
}

/// sum += values, and as long as they at least
void add_to(std::vector<double>& sum, std::span<const double> values) {
    sum.resize(std::max(sum.size(), values.size()), 0.0);
    std::ranges::transform(values, sum, sum.begin(), std::plus<>());
}

std::vector<float> on_host(MatrixView<const float> x, const kernels::Backend& backend) {
    std::vector<float> host(x.rows * x.cols);
    backend.download(x, host.data());
    return host;
}

}  // namespace

void InputShift::begin(std::size_t width) {
    if (width_ == 0) {
        width_ = width;
        for (Sums& sums : sums_) {
            sums.gram = backend_.allocate<float>(triangle_size(width_));
        }
    }
}

void InputShift::add(MatrixView<const float> given, std::span<const float> factors) {
    begin(given.cols);
    MatrixView<const float> x = given;
    kernels::Array<float> memory;
    if (!factors.empty()) {
        memory = backend_.allocate<float>(given.rows * given.cols);
        const MatrixView<float> scaled = memory.matrix(given.rows, given.cols);
        backend_.scale_rows(given, factors, scaled);
        x = scaled;
    }
    for (std::size_t half = 0; half < sums_.size(); ++half) {
        const auto [first, count] = half_of(x.rows, half);
        if (count > 0) {
            backend_.accumulate_gram(x.row_range(first, count),
                                     UpperTriangle<float>(sums_[half].gram.data(), width_));
        }
        sums_[half].tokens += static_cast<double>(count);
    }
    std::vector<float> host = on_host(x, backend_);
    for (std::size_t t = 0; t < factors.size(); ++t) {
        for (std::size_t j = 0; j < x.cols; ++j) {
            host[t * x.cols + j] *= factors[t];
        }
    }
    latest_ = widened(host, backend_);
    n_latest_ = x.rows;
}

void InputShift::accumulate(MatrixView<const float> missing, std::vector<double> Sums::*part) {
    if (missing.rows != n_latest_) {
        throw ShapeError("what is missing is " + missing.shape_text() + ", expected " +
                         std::to_string(n_latest_) + " rows, one for each token of the input");
    }
    const kernels::Array<double> memory =
        widened({missing.data, missing.rows * missing.cols}, backend_);
    const MatrixView<const double> wide = memory.matrix(missing.rows, missing.cols);
    const MatrixView<const double> inputs = latest_.matrix(n_latest_, width_);
    const kernels::Array<double> product = backend_.allocate<double>(missing.cols * width_);
    for (std::size_t half = 0; half < sums_.size(); ++half) {
        const auto [first, count] = half_of(missing.rows, half);
        std::vector<double>& sum = sums_[half].*part;
        sum.resize(product.size(), 0.0);
        if (count > 0) {
            backend_.multiply(wide.row_range(first, count), true, inputs.row_range(first, count),
                              false, product.matrix(missing.cols, width_));
            add_to(sum, backend_.to_host(product.matrix(missing.cols, width_)));
        }
    }
}

InputShift::Means InputShift::means_of(std::span<const Sums> all) const {
    double tokens = 0.0;
    for (const Sums& sums : all) {
        tokens += sums.tokens;
    }
    Means means;
    means.gram = mean_gram(all, tokens);
    const auto mean = [&](std::vector<double> Sums::*part) {
        std::vector<double> total;
        for (const Sums& sums : all) {
            add_to(total, sums.*part);
        }
        std::vector<float> values(total.size());
        std::ranges::transform(total, values.begin(),
                               [&](double sum) { return static_cast<float>(sum / tokens); });
        return values;
    };
    means.input = mean(&Sums::input);
    means.output = mean(&Sums::output);
    return means;
}

std::vector<float> InputShift::mean_gram(std::span<const Sums> all, double tokens) const {
    std::vector<float> mean(width_ * width_);
    const MatrixView<float> view(mean.data(), width_, width_);
    for (const Sums& sums : all) {
        const std::vector<float> own = backend_.to_host(sums.gram.matrix(1, sums.gram.size()));
        const UpperTriangle<const float> gram(own.data(), width_);
        for (std::size_t i = 0; i < width_; ++i) {
            std::transform(view.row(i) + i, view.row(i) + width_, gram.diagonal(i), view.row(i) + i,
                           [tokens](float sum, float value) {
                               return static_cast<float>(sum + static_cast<double>(value) / tokens);
                           });
        }
    }
    backend_.mirror_upper(view);
    return mean;
}

std::vector<float> InputShift::gram() const {
    double tokens = 0.0;
    for (const Sums& sums : sums_) {
        tokens += sums.tokens;
    }
    return mean_gram(sums_, tokens);
}

kernels::Array<float> InputShift::missing(MatrixView<const float> weight,
                                          const Means& means) const {
    const std::size_t size = weight.rows * width_;
    if (weight.cols != width_ || (!means.output.empty() && means.output.size() != size)) {
        throw ShapeError("a weight " + weight.shape_text() + " where the input has " +
                         std::to_string(width_) + " features and " +
                         std::to_string(means.output.size()) + " sums tell of its outputs");
    }
    kernels::Array<float> result = backend_.allocate<float>(size);
    if (!means.input.empty()) {
        const kernels::Array<float> columns =
            uploaded(transposed(means.input, width_, width_), width_, backend_);
        backend_.linear(weight, columns.matrix(width_, width_), {},
                        result.matrix(weight.rows, width_));
    }
    if (!means.output.empty()) {
        const kernels::Array<float> outputs = uploaded(means.output, width_, backend_);
        backend_.add(outputs.matrix(weight.rows, width_), result.matrix(weight.rows, width_));
    }
    return result;
}

kernels::Array<float> InputShift::missing_as_seen(MatrixView<const float> weight,
                                                  const Means& means,
                                                  MatrixView<const float> readers) const {
    kernels::Array<float> all = missing(weight, means);
    if (readers.rows == 0) {
        return all;
    }
    const std::vector<float> rows = on_host(all.matrix(weight.rows, width_), backend_);
    const kernels::Array<float> columns =
        uploaded(transposed(rows, weight.rows, width_), weight.rows, backend_);
    kernels::Array<float> seen = backend_.allocate<float>(readers.rows * width_);
    backend_.linear(readers, columns.matrix(width_, weight.rows), {},
                    seen.matrix(readers.rows, width_));
    return seen;
}

std::optional<double> InputShift::choose_penalty(Weights weights,
                                                 MatrixView<const float> readers) const {
    if (sums_[1].tokens == 0.0) {
        return penalties.back();
    }
    const Means fitted = means_of(std::span(sums_).first(1));
    const Means held_out = means_of(std::span(sums_).last(1));
    kernels::Array<float> room;
    const MatrixView<const float> gram =
        backend_.resident(MatrixView<const float>(held_out.gram.data(), width_, width_), room);
    struct Lack {
        std::size_t rows;
        kernels::Array<float> fitted;
        std::vector<float> held_out;
    };
    std::vector<Lack> lacks;
    for (const MatrixView<float>& weight : weights) {
        const std::size_t rows = readers.rows > 0 ? readers.rows : weight.rows;
        lacks.push_back(
            {rows, missing_as_seen(weight, fitted, readers),
             on_host(missing_as_seen(weight, held_out, readers).matrix(rows, width_), backend_)});
    }
    // With D the correction and P what is missing, the squared error falls by
    // 2 tr(D P^T) - tr(D G D^T).
    std::array<double, penalties.size()> gains{};
    SplittingSystem system({fitted.gram.data(), width_, width_}, 0.0, backend_);
    for (std::size_t p = 0; p < penalties.size(); ++p) {
        const MatrixView<const float> inverse = system.inverse(penalties[p]);
        for (const Lack& lack : lacks) {
            const kernels::Array<float> memory = backend_.allocate<float>(lack.rows * width_);
            const MatrixView<float> correction = memory.matrix(lack.rows, width_);
            backend_.linear(lack.fitted.matrix(lack.rows, width_), inverse, {}, correction);
            const std::vector<float> d = on_host(correction, backend_);
            std::vector<double> costs(lack.rows);
            backend_.row_errors(correction, gram, costs);
            gains[p] += 2.0 * std::inner_product(d.begin(), d.end(), lack.held_out.begin(), 0.0) -
                        std::accumulate(costs.begin(), costs.end(), 0.0);
        }
    }
    const auto best = std::ranges::max_element(gains);
    if (!(*best > 0.0)) {
        return std::nullopt;
    }
    return penalties[static_cast<std::size_t>(best - gains.begin())];
}

/// The width; of each half the lengths of `input` and `output`.
std::vector<double> InputShift::shape() const {
    std::vector<double> shape{static_cast<double>(width_)};
    for (const Sums& sums : sums_) {
        shape.push_back(static_cast<double>(sums.input.size()));
        shape.push_back(static_cast<double>(sums.output.size()));
    }
    return shape;
}

std::vector<SumArray> InputShift::arrays(std::span<const double> shape) {
    if (shape[0] == 0.0) {
        return {};
    }
    begin(static_cast<std::size_t>(shape[0]));
    std::vector<SumArray> arrays;
    for (std::size_t half = 0; half < sums_.size(); ++half) {
        Sums& sums = sums_[half];
        arrays.push_back({std::span(&sums.tokens, 1)});
        arrays.push_back({sums.gram.span(), SumArray::Kind::sum, &backend_});
        for (const auto& [part, length] : {std::pair(&sums.input, shape[1 + 2 * half]),
                                           std::pair(&sums.output, shape[2 + 2 * half])}) {
            if (length > 0.0) {
                part->resize(static_cast<std::size_t>(length), 0.0);
                arrays.push_back({std::span(*part)});
            }
        }
    }
    return arrays;
}

void InputShift::correct(Weights weights, double penalty) const {
    const Means means = means_of(sums_);
    SplittingSystem system({means.gram.data(), width_, width_}, 0.0, backend_);
    const MatrixView<const float> inverse = system.inverse(penalty);
    for (const MatrixView<float>& weight : weights) {
        const kernels::Array<float> lacks = missing(weight, means);
        const kernels::Array<float> memory = backend_.allocate<float>(weight.rows * width_);
        const MatrixView<float> correction = memory.matrix(weight.rows, width_);
        backend_.linear(lacks.matrix(weight.rows, width_), inverse, {}, correction);
        backend_.add(correction, weight);
    }
}

std::vector<float> missing_values(std::vector<float> expected, MatrixView<const float> found,
                                  const kernels::Backend& backend) {
    std::ranges::transform(expected, backend.to_host(found), expected.begin(), std::minus<>());
    return expected;
}

}  // namespace lathe
