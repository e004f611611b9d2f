#pragma once

#include <span>

#include "methods/method.hpp"
#include "methods/output_error.hpp"
#include "methods/quantised.hpp"
#include "methods/splitting.hpp"

namespace lathe {

/// Candidates of one matrix that are to be improved together: they share the factors.
struct GridProblem {
    /// The matrix to come near to, [rows, d], without weights of dead inputs.
    MatrixView<const float> weight;
    const OutputError* output_error = nullptr;  ///< judges the rows, without damping
    /// Empty, or [rows, d]: where it is 0 the values are 0 and stay so.
    MatrixView<const std::uint8_t> keep;
};

/// Improves each of `solutions`, which hold a solution of `problem` and its errors: ADMM onto their
/// grids in the damped matrix of `system`, then coordinate descent over codes and scales in the
/// matrix of `problem.output_error`. Of each row the best that was seen stays: none gets worse.
/// Deterministic, and the same for a solution alone and among others.
void refine_on_grid(const GridProblem& problem, SplittingSystem& system,
                    std::span<Quantised* const> solutions, const kernels::Backend& backend);

}  // namespace lathe
