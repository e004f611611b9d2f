#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "kernels/contract/backend.hpp"
#include "methods/output_error.hpp"
#include "methods/splitting.hpp"
#include "methods/stacked_unit.hpp"

namespace lathe {

/// How the places of an N:M matrix and their values are chosen.
enum class PruningSolver {
    magnitude,   ///< the largest weights
    wanda,       ///< the largest weight times input norm (Sun et al. 2023, arXiv:2306.11695)
    sparsegpt,   ///< error feedback over the columns (Frantar, Alistarh 2023, arXiv:2301.00774)
    admm,        ///< ADMM with a growing penalty, then refit (Meng et al. 2024, arXiv:2406.07831)
    admm_fixed,  ///< ADMM with a fixed penalty, sparsity growing step by step (Boza 2024,
                 ///< arXiv:2401.02938)
};

/// A sparse matrix in a backend's memory.
struct Pruned {
    std::size_t rows = 0;
    std::size_t cols = 0;
    kernels::Array<std::uint8_t> keep_memory;
    kernels::Array<float> value_memory;
    std::size_t n_iterations = 0;  ///< of ADMM

    Pruned(std::size_t rows_, std::size_t cols_, const kernels::Backend& backend)
        : rows(rows_),
          cols(cols_),
          keep_memory(backend.allocate<std::uint8_t>(rows * cols)),
          value_memory(backend.allocate<float>(rows * cols)) {}

    [[nodiscard]] MatrixView<std::uint8_t> keep() const { return keep_memory.matrix(rows, cols); }
    [[nodiscard]] MatrixView<float> values() const { return value_memory.matrix(rows, cols); }

    /// values = w where keep is 1, else 0. w [rows, cols]
    void take_kept(MatrixView<const float> w, const kernels::Backend& backend) const;
};

/// What a solver works with.
struct PruningProblem {
    const StackedUnit& unit;
    NmPattern pattern;
    MatrixView<const float> gram;    ///< empty: the unit has none, and only magnitude will do
    UnitFactors* factors = nullptr;  ///< of that matrix, for sparsegpt and admm
};

/// Values are 0 where keep is 0; each row keeps n in each m. Deterministic.
/// @throws InternalError  for a solver other than magnitude without a Gram matrix
[[nodiscard]] Pruned prune(PruningSolver solver, const PruningProblem& problem,
                           const kernels::Backend& backend);

/// Fits the kept values to `weight`: projected conjugate gradients on tr((V - W) A (V - W)^T), A
/// that of `system`. `values` in and out; the error does not grow but for rounding.
void refit(MatrixView<const float> weight, const SplittingSystem& system,
           MatrixView<const std::uint8_t> keep, MatrixView<float> values, std::size_t n_iterations,
           const kernels::Backend& backend);

}  // namespace lathe
