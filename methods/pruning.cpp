#include "methods/pruning.hpp"

#include <algorithm>

#include "lib/core/errors.hpp"
#include "methods/pruning_admm.hpp"

namespace lathe {
namespace {

using kernels::Array;
using kernels::Backend;

void copy_matrix(MatrixView<const float> from, MatrixView<float> to) {
    for (std::size_t r = 0; r < from.rows; ++r) {
        std::copy_n(from.row(r), from.cols, to.row(r));
    }
}

Pruned by_score(const PruningProblem& problem, std::span<const float> importance,
                const Backend& backend) {
    Pruned pruned(problem.unit.rows(), problem.unit.cols(), backend);
    backend.choose_pattern(problem.unit.weight(), importance, problem.pattern, pruned.keep());
    pruned.take_kept(problem.unit.weight());
    return pruned;
}

Pruned by_feedback(const PruningProblem& problem, const Backend& backend) {
    Pruned pruned(problem.unit.rows(), problem.unit.cols(), backend);
    copy_matrix(problem.unit.weight(), pruned.values());
    backend.sweep_sparse(pruned.values(), problem.factors->inverse_factor(), problem.pattern,
                         pruned.keep(), nullptr, {}, {});
    return pruned;
}

}  // namespace

void Pruned::take_kept(MatrixView<const float> w) const {
    for (std::size_t r = 0; r < w.rows; ++r) {
        for (std::size_t j = 0; j < w.cols; ++j) {
            values()(r, j) = keep()(r, j) != 0 ? w(r, j) : 0.0F;
        }
    }
}

void refit(MatrixView<const float> weight, const SplittingSystem& system,
           MatrixView<const std::uint8_t> keep, MatrixView<float> values, std::size_t n_iterations,
           const Backend& backend) {
    const std::size_t size = weight.rows * weight.cols;
    const auto matrix = [&](const Array<float>& m) { return m.matrix(weight.rows, weight.cols); };
    const Array<float> residual = backend.allocate<float>(size);
    const Array<float> direction = backend.allocate<float>(size);
    const Array<float> product = backend.allocate<float>(size);
    const Array<float> inverse = backend.allocate<float>(weight.cols);
    std::transform(system.diagonal().begin(), system.diagonal().end(), inverse.data(),
                   [](float value) { return 1.0F / value; });
    for (std::size_t r = 0; r < weight.rows; ++r) {
        for (std::size_t j = 0; j < weight.cols; ++j) {
            matrix(product)(r, j) = weight(r, j) - values(r, j);
        }
    }
    system.multiply(matrix(product), matrix(residual));
    for (std::size_t r = 0; r < weight.rows; ++r) {
        for (std::size_t j = 0; j < weight.cols; ++j) {
            float& rest = matrix(residual)(r, j);
            rest = keep(r, j) != 0 ? rest : 0.0F;
            matrix(direction)(r, j) = rest * inverse.data()[j];
        }
    }
    for (std::size_t i = 0; i < n_iterations; ++i) {
        system.multiply(matrix(direction), matrix(product));
        backend.conjugate_step(keep, inverse.span(), matrix(product), values, matrix(residual),
                               matrix(direction));
    }
}

Pruned prune(PruningSolver solver, const PruningProblem& problem, const Backend& backend) {
    if (solver != PruningSolver::magnitude && problem.gram.rows == 0) {
        throw InternalError("pruning by anything but magnitude needs a Gram matrix");
    }
    switch (solver) {
        case PruningSolver::magnitude:
            return by_score(problem, std::vector<float>(problem.unit.cols(), 1.0F), backend);
        case PruningSolver::wanda:
            return by_score(problem, problem.unit.importance(), backend);
        case PruningSolver::sparsegpt:
            return by_feedback(problem, backend);
        case PruningSolver::admm:
            return prune_with_growing_penalty(problem, backend);
        case PruningSolver::admm_fixed:
            return prune_with_fixed_penalty(problem, backend);
    }
    throw InternalError("no pruning solver has the number " +
                        std::to_string(static_cast<int>(solver)));
}

}  // namespace lathe
