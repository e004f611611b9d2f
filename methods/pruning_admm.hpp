#pragma once

#include "methods/pruning.hpp"

namespace lathe {

/// PruningSolver::admm: the choice of places is live while the penalty grows with the number of
/// places that change (Meng et al. 2024, arXiv:2406.07831); then the values are refitted.
[[nodiscard]] Pruned prune_with_growing_penalty(const PruningProblem& problem,
                                                const kernels::Backend& backend);

/// PruningSolver::admm_fixed: penalty 1 and damping 0.1; 15 iterations while the sparsity grows to
/// that of the pattern, 5 with the places frozen (Boza 2024, arXiv:2401.02938). The step-wise
/// sparsity is held row by row, where the published code takes the whole matrix.
[[nodiscard]] Pruned prune_with_fixed_penalty(const PruningProblem& problem,
                                              const kernels::Backend& backend);

}  // namespace lathe
