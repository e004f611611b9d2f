#include "methods/grid_refinement.hpp"

namespace lathe {
namespace {

using kernels::Backend;

constexpr std::size_t n_descent_passes = 2;

void descend(const GridProblem& problem, Quantised& best, const Backend& backend) {
    Quantised trial = copy_of(best, backend);
    const auto memory = backend.allocate<float>(best.rows * best.cols);
    const MatrixView<float> values = memory.matrix(best.rows, best.cols);
    backend.descend_on_grid(problem.weight, problem.output_error->gram(), trial.grid,
                            n_descent_passes, problem.keep, trial.scales(), trial.zeros(),
                            trial.codes(), values);
    trial.errors = problem.output_error->of_rows(problem.weight, values);
    keep_better_rows(best, trial, backend);
}

}  // namespace

void refine_on_grid(const GridProblem& problem, SplittingSystem& system,
                    std::span<Quantised* const> solutions, const Backend& backend) {
    if (solutions.empty()) {
        return;
    }
    SplittingSearch(problem, system, backend, solutions).run();
    for (Quantised* solution : solutions) {
        descend(problem, *solution, backend);
    }
}

}  // namespace lathe
