#include "methods/grid_refinement.hpp"

namespace lathe {
namespace {

using kernels::Backend;

constexpr std::size_t n_grid_passes = 2;
constexpr std::size_t n_level_passes = 4;

void descend(const GridProblem& problem, Quantised& best, const Backend& backend) {
    Quantised trial = copy_of(best, backend);
    const auto memory = backend.allocate<float>(best.rows * best.cols);
    const MatrixView<float> values = memory.matrix(best.rows, best.cols);
    backend.descend_on_grid(problem.weight, problem.output_error->gram(), trial.grid, n_grid_passes,
                            problem.keep, trial.scales(), trial.zeros(), trial.codes(), values);
    trial.errors = problem.output_error->of_rows(problem.weight, values);
    keep_better_rows(best, trial, backend);
}

void descend(const GridProblem& problem, BinaryCoded& best, const Backend& backend) {
    BinaryCoded trial = copy_of(best, backend);
    const auto memory = backend.allocate<float>(best.rows * best.cols);
    const MatrixView<float> values = memory.matrix(best.rows, best.cols);
    backend.descend_on_binary_codes(problem.weight, problem.output_error->gram(), trial.settings,
                                    n_level_passes, problem.keep, trial.view(), values);
    trial.errors = problem.output_error->of_rows(problem.weight, values);
    keep_better_rows(best, trial, backend);
}

template <class Solution>
void refine(const GridProblem& problem, SplittingSystem& system,
            std::span<Solution* const> solutions, const Backend& backend) {
    if (solutions.empty()) {
        return;
    }
    SplittingSearch(problem, system, backend, solutions).run();
    for (Solution* solution : solutions) {
        descend(problem, *solution, backend);
    }
}

}  // namespace

void refine_on_grid(const GridProblem& problem, SplittingSystem& system,
                    std::span<Quantised* const> solutions, const Backend& backend) {
    refine(problem, system, solutions, backend);
}

void refine_on_levels(const GridProblem& problem, SplittingSystem& system,
                      std::span<BinaryCoded* const> solutions, const Backend& backend) {
    refine(problem, system, solutions, backend);
}

}  // namespace lathe
