#include "methods/splitting.hpp"

#include <algorithm>
#include <cmath>

#include "lib/core/errors.hpp"

namespace lathe {

SplittingSystem::SplittingSystem(MatrixView<const float> gram, double damping,
                                 const kernels::Backend& backend)
    : backend_(backend),
      diagonal_(gram.rows),
      matrix_(backend.allocate<float>(gram.rows * gram.rows)) {
    const std::size_t n = gram.rows;
    double trace = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
        trace += static_cast<double>(gram(i, i));
    }
    const double added = n > 0 ? damping * trace / static_cast<double>(n) : 0.0;
    for (std::size_t i = 0; i < n; ++i) {
        const auto power = static_cast<double>(gram(i, i));
        diagonal_[i] = static_cast<float>((power == 0.0 ? 1.0 : power) + added);
    }
    backend.copy(gram, matrix_.matrix(n, n));
    backend.copy<float>({diagonal_.data(), n, 1}, {matrix_.data(), n, 1, n + 1});
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
    // With unit diagonal no eigenvalue is below rho. Rounding moves the matrix by at most
    // d * 2^-24, typically by sqrt(d) * 2^-24; 1/32 of rho is the most we let it be.
    constexpr double needed = 0x1p-19;
    if (rho >= needed * static_cast<double>(d())) {
        if (inverse_.size() == 0) {
            inverse_ = backend_.allocate<float>(d() * d());
        }
        backend_.penalised_inverse(matrix(), penalty(rho), inverse_.matrix(d(), d()));
    } else {
        invert_exactly(rho);
    }
    return inverse_.matrix(d(), d());
}

/// With a factor that is made in fp64.
void SplittingSystem::invert_exactly(double rho) {
    const std::size_t n = d();
    inverse_ = {};  // the factor takes as much
    const kernels::Array<float> factor_memory = backend_.allocate<float>(n * n);
    const MatrixView<float> factor = factor_memory.matrix(n, n);
    backend_.inverse_factor(matrix(), {.damping = 0.0, .penalty = penalty(rho), .order = {}},
                            factor);
    inverse_ = backend_.allocate<float>(n * n);
    // With U^T U the inverse. A row of U begins at its diagonal: bands of rows, each without the
    // zeros before it, take a third of the work.
    constexpr std::size_t band = 512;
    for (std::size_t begin = 0; begin < n; begin += band) {
        const std::size_t left = n - begin;
        const MatrixView<float> corner =
            inverse_.matrix(n, n).row_range(begin, left).col_range(begin, left);
        backend_.accumulate_gram(
            factor.row_range(begin, std::min(band, left)).col_range(begin, left),
            UpperTriangle<float>(corner));
    }
    backend_.mirror_upper(inverse_.matrix(n, n));
}

UnitFactors::UnitFactors(const UnitStatistics& statistics, const ErrorFeedback& feedback,
                         const kernels::Backend& backend)
    : statistics_(statistics),
      feedback_(feedback),
      backend_(backend),
      order_(column_order(statistics.gram, feedback)) {
    if (statistics.gram.rows == 0) {
        throw InternalError("error feedback needs a Gram matrix; the unit has none");
    }
}

MatrixView<const float> UnitFactors::inverse_factor() {
    const std::size_t n = statistics_.gram.rows;
    if (factor_.rows > 0) {
        return factor_;
    }
    if (statistics_.stored_factor) {
        stored_factor_ = statistics_.stored_factor(feedback_);
        factor_ = backend_.resident<float>({stored_factor_.data(), n, n}, made_factor_);
        if (!backend_.works_on_host()) {
            stored_factor_ = {};
        }
    } else {
        made_factor_ = backend_.allocate<float>(n * n);
        make_inverse_factor(statistics_.gram, feedback_, backend_, made_factor_.matrix(n, n));
        factor_ = made_factor_.matrix(n, n);
    }
    return factor_;
}

void UnitFactors::release_inverse_factor() {
    factor_ = {};
    made_factor_ = {};
    stored_factor_ = {};
}

SplittingSystem& UnitFactors::system() {
    if (!system_) {
        system_.emplace(statistics_.gram, feedback_.damping, backend_);
    }
    return *system_;
}

}  // namespace lathe
