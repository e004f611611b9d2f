#include "kernels/contract/sparsity_kernels.hpp"

#include <string>

#include "kernels/contract/grid_checks.hpp"
#include "lib/core/errors.hpp"

// What every backend may take for granted: the public functions check what their comments in the
// header ask for and hand over to the backend. A refusal is a bug in the caller.

namespace lathe::kernels {
namespace {

using checks::require_equal_shape;
using checks::require_grid_arrays;
using checks::require_length;
using checks::require_shape;

void require_pattern(const char* function, NmPattern pattern) {
    if (pattern.n == 0 || pattern.n > pattern.m) {
        throw InternalError(std::string(function) + ": pattern is " + std::to_string(pattern.n) +
                            ":" + std::to_string(pattern.m) + ", expected 1 <= N <= M");
    }
}

void require_limits(const char* function, const MatrixView<const float>& w,
                    const MatrixLimits& limits) {
    if (limits.grid != nullptr) {
        require_grid_arrays(function, w, *limits.grid, limits.scales, limits.zeros);
    }
    if (limits.binary != nullptr) {
        checks::require_binary(function, w, *limits.binary, limits.scales, limits.zeros);
        if (limits.grid != nullptr) {
            throw InternalError(std::string(function) + ": both a grid and a binary coding");
        }
    }
    const bool has_keep = limits.keep.rows > 0;
    if (has_keep) {
        require_equal_shape(function, "keep", limits.keep, "w", w);
    }
    if (limits.pattern.m > 0) {
        require_pattern(function, limits.pattern);
        require_length(function, "importance", limits.importance.size(), w.cols,
                       "w " + w.shape_text());
        if (has_keep) {
            throw InternalError(std::string(function) + ": both keep and a pattern are given");
        }
    }
}

}  // namespace

void SparsityKernels::choose_pattern(MatrixView<const float> w, std::span<const float> importance,
                                     NmPattern pattern, MatrixView<std::uint8_t> keep) const {
    require_pattern("choose_pattern", pattern);
    require_length("choose_pattern", "importance", importance.size(), w.cols,
                   "w " + w.shape_text());
    require_equal_shape("choose_pattern", "keep", keep, "w", w);
    do_choose_pattern(w, importance, pattern, keep);
}

void SparsityKernels::project(MatrixView<const float> w, const MatrixLimits& limits,
                              MatrixView<float> values) const {
    require_limits("project", w, limits);
    require_equal_shape("project", "values", values, "w", w);
    do_project(w, limits, values);
}

void SparsityKernels::splitting_step(MatrixView<float> x, MatrixView<float> state,
                                     MatrixView<const float> target, std::span<const float> penalty,
                                     float shrink, const MatrixLimits& limits) const {
    require_limits("splitting_step", x, limits);
    require_equal_shape("splitting_step", "state", state, "x", x);
    require_equal_shape("splitting_step", "target", target, "x", x);
    require_length("splitting_step", "penalty", penalty.size(), x.cols, "x " + x.shape_text());
    do_splitting_step(x, state, target, penalty, shrink, limits);
}

void SparsityKernels::sweep_sparse(MatrixView<float> w, MatrixView<const float> factor,
                                   NmPattern pattern, MatrixView<std::uint8_t> keep,
                                   const IntegerGridSettings* grid, MatrixView<const float> scales,
                                   MatrixView<const float> zeros) const {
    constexpr const char* function = "sweep_sparse";
    require_shape(function, "factor", factor, w.cols, w.cols, "w " + w.shape_text());
    require_equal_shape(function, "keep", keep, "w", w);
    if (pattern.m > 0) {
        require_pattern(function, pattern);
    }
    if (grid != nullptr) {
        require_grid_arrays(function, w, *grid, scales, zeros);
    }
    do_sweep_sparse(w, factor, pattern, keep, grid, scales, zeros);
}

void SparsityKernels::conjugate_step(MatrixView<const std::uint8_t> keep,
                                     std::span<const float> inverse_diagonal,
                                     MatrixView<const float> product, MatrixView<float> values,
                                     MatrixView<float> residual,
                                     MatrixView<float> direction) const {
    constexpr const char* function = "conjugate_step";
    require_length(function, "inverse_diagonal", inverse_diagonal.size(), values.cols,
                   "values " + values.shape_text());
    require_equal_shape(function, "keep", keep, "values", values);
    require_equal_shape(function, "product", product, "values", values);
    require_equal_shape(function, "residual", residual, "values", values);
    require_equal_shape(function, "direction", direction, "values", values);
    do_conjugate_step(keep, inverse_diagonal, product, values, residual, direction);
}

void SparsityKernels::exchange_places(MatrixView<const float> gram, NmPattern pattern,
                                      std::size_t n_passes, MatrixView<std::uint8_t> keep,
                                      MatrixView<float> values, MatrixView<float> gradient) const {
    constexpr const char* function = "exchange_places";
    require_pattern(function, pattern);
    require_shape(function, "gram", gram, values.cols, values.cols,
                  "values " + values.shape_text());
    require_equal_shape(function, "keep", keep, "values", values);
    require_equal_shape(function, "gradient", gradient, "values", values);
    do_exchange_places(gram, pattern, n_passes, keep, values, gradient);
}

}  // namespace lathe::kernels
