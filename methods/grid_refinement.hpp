#pragma once

#include <span>

#include "methods/binary_coded.hpp"
#include "methods/method.hpp"
#include "methods/quantised.hpp"
#include "methods/splitting_search.hpp"

namespace lathe {

/// Improves each of `solutions`, which hold a solution of `problem` and its errors: ADMM onto their
/// grids in the damped matrix of `system`, then coordinate descent over codes and scales in the
/// matrix of `problem.output_error`. The best that was seen of each row stays, so none gets worse.
/// Deterministic, and the same for a solution alone and among others.
void refine_on_grid(const GridProblem& problem, SplittingSystem& system,
                    std::span<Quantised* const> solutions, const kernels::Backend& backend);

/// The same for binary codings: ADMM onto their levels, then descent over codes, scales and
/// offsets.
void refine_on_levels(const GridProblem& problem, SplittingSystem& system,
                      std::span<BinaryCoded* const> solutions, const kernels::Backend& backend);

}  // namespace lathe
