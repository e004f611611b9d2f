#include "methods/splitting.hpp"

#include <algorithm>
#include <cmath>

namespace lathe {

SplittingSystem::SplittingSystem(MatrixView<const double> gram, double damping,
                                 const kernels::Backend& backend)
    : backend_(backend),
      diagonal_(gram.rows),
      matrix_(backend.allocate<float>(gram.rows * gram.rows)),
      unit_(backend.allocate<double>(gram.rows * gram.rows)),
      factor_(backend.allocate<float>(gram.rows * gram.rows)),
      inverse_(backend.allocate<float>(gram.rows * gram.rows)) {
    const std::size_t n = gram.rows;
    double trace = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
        trace += gram(i, i);
    }
    const double added = n > 0 ? damping * trace / static_cast<double>(n) : 0.0;
    std::vector<double> root(n);
    for (std::size_t i = 0; i < n; ++i) {
        const double value = (gram(i, i) == 0.0 ? 1.0 : gram(i, i)) + added;
        diagonal_[i] = static_cast<float>(value);
        root[i] = std::sqrt(value);
    }
    std::vector<float> matrix(n * n);
    std::vector<double> unit(n * n);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) {
            matrix[i * n + j] = static_cast<float>(gram(i, j));
            unit[i * n + j] = gram(i, j) / (root[i] * root[j]);
        }
        matrix[i * n + i] = diagonal_[i];
        unit[i * n + i] = 1.0;
    }
    backend.copy({matrix.data(), n, n}, matrix_.matrix(n, n));
    backend.copy({unit.data(), n, n}, unit_.matrix(n, n));
}

void SplittingSystem::multiply(MatrixView<const float> w, MatrixView<float> product) const {
    backend_.linear(w, matrix_.matrix(d(), d()), {}, product);
}

std::vector<float> SplittingSystem::penalty(double rho) const {
    std::vector<float> penalty(d());
    std::transform(diagonal_.begin(), diagonal_.end(), penalty.begin(), [rho](float value) {
        return static_cast<float>(rho * static_cast<double>(value));
    });
    return penalty;
}

MatrixView<const float> SplittingSystem::inverse(double rho) {
    const std::size_t n = d();
    // With U^T U the inverse of the unit-diagonal matrix plus rho, whose mean diagonal is 1.
    backend_.inverse_factor(unit_.matrix(n, n), rho, factor_.matrix(n, n));
    const kernels::Array<double> product = backend_.allocate<double>(n * n);
    // A row of U begins at its diagonal: bands of rows, each without the zeros before it, take a
    // third of the work.
    constexpr std::size_t band = 512;
    const MatrixView<float> factor = factor_.matrix(n, n);
    for (std::size_t begin = 0; begin < n; begin += band) {
        const std::size_t left = n - begin;
        backend_.accumulate_gram(
            factor.row_range(begin, std::min(band, left)).col_range(begin, left),
            product.matrix(n, n).row_range(begin, left).col_range(begin, left));
    }
    std::vector<double> root(n);
    std::transform(diagonal_.begin(), diagonal_.end(), root.begin(),
                   [](float value) { return 1.0 / std::sqrt(static_cast<double>(value)); });
    backend_.symmetric_from_upper(product.matrix(n, n), root, inverse_.matrix(n, n));
    return inverse_.matrix(n, n);
}

MatrixView<const float> UnitFactors::inverse_factor() {
    const std::size_t n = gram_.rows;
    if (factor_.size() == 0) {
        factor_ = backend_.allocate<float>(n * n);
        backend_.inverse_factor(gram_, damping_, factor_.matrix(n, n));
    }
    return factor_.matrix(n, n);
}

SplittingSystem& UnitFactors::system() {
    if (!system_) {
        system_.emplace(gram_, damping_, backend_);
    }
    return *system_;
}

}  // namespace lathe
