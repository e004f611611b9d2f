#include "methods/pruning.hpp"

#include <algorithm>

#include "lib/core/errors.hpp"
#include "methods/host_copy.hpp"
#include "methods/pruning_admm.hpp"

namespace lathe {
namespace {

using kernels::Array;
using kernels::Backend;

Pruned by_score(const PruningProblem& problem, std::span<const float> importance,
                const Backend& backend) {
    Pruned pruned(problem.unit.rows(), problem.unit.cols(), backend);
    backend.choose_pattern(problem.unit.weight(), importance, problem.pattern, pruned.keep());
    pruned.take_kept(problem.unit.weight(), backend);
    return pruned;
}

Pruned by_feedback(const PruningProblem& problem, const Backend& backend) {
    Pruned pruned(problem.unit.rows(), problem.unit.cols(), backend);
    backend.copy(problem.unit.weight(), pruned.values());
    backend.sweep_sparse(pruned.values(), problem.factors->inverse_factor(), problem.pattern,
                         pruned.keep(), nullptr, {}, {});
    return pruned;
}

}  // namespace

void Pruned::take_kept(MatrixView<const float> w, const Backend& backend) const {
    backend.project(w,
                    {.grid = nullptr,
                     .binary = nullptr,
                     .scales = {},
                     .zeros = {},
                     .keep = keep(),
                     .pattern = {},
                     .importance = {}},
                    values());
}

void refit(MatrixView<const float> weight, const SplittingSystem& system,
           MatrixView<const std::uint8_t> keep, MatrixView<float> values, std::size_t n_iterations,
           const Backend& backend) {
    const std::size_t size = weight.rows * weight.cols;
    const auto matrix = [&](const Array<float>& m) { return m.matrix(weight.rows, weight.cols); };
    const Array<float> residual = backend.allocate<float>(size);
    const Array<float> direction = backend.allocate<float>(size);
    const Array<float> product = backend.allocate<float>(size);
    backend.subtract(weight, values, matrix(product));
    system.multiply(matrix(product), matrix(residual));
    std::vector<float> inverse(weight.cols);
    std::transform(system.diagonal().begin(), system.diagonal().end(), inverse.begin(),
                   [](float value) { return 1.0F / value; });
    HostCopy rest(matrix(residual), backend);
    const HostCopy kept(keep, backend);
    for (std::size_t r = 0; r < weight.rows; ++r) {
        for (std::size_t j = 0; j < weight.cols; ++j) {
            rest.view()(r, j) = kept.view()(r, j) != 0 ? rest.view()(r, j) : 0.0F;
        }
    }
    backend.copy(rest.view(), matrix(residual));
    for (std::size_t r = 0; r < weight.rows; ++r) {
        for (std::size_t j = 0; j < weight.cols; ++j) {
            rest.view()(r, j) *= inverse[j];
        }
    }
    backend.copy(rest.view(), matrix(direction));
    for (std::size_t i = 0; i < n_iterations; ++i) {
        system.multiply(matrix(direction), matrix(product));
        backend.conjugate_step(keep, inverse, matrix(product), values, matrix(residual),
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
