#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "methods/output_error.hpp"
#include "methods/splitting.hpp"

namespace lathe {

// Sixty iterations with a penalty that grows from 0.1 to about 1.4 of each column's own curvature.
// Measured on layers of a trained model: twice as many iterations lower the error by another 1 %,
// half as many raise it by 2 to 5 %; steps of 15 % every third iteration are no better.
inline constexpr std::size_t n_splitting_phases = 10;
inline constexpr std::size_t iterations_per_phase = 6;
inline constexpr double first_penalty = 0.1;
inline constexpr double penalty_growth = 1.345;

[[nodiscard]] inline double penalty_of_phase(std::size_t phase) {
    return first_penalty * std::pow(penalty_growth, static_cast<double>(phase));
}

/// Candidates of one matrix that are to be improved together: they share the factors.
struct GridProblem {
    /// The matrix to come near to, [rows, d], without weights of dead inputs.
    MatrixView<const float> weight;
    const OutputError* output_error = nullptr;  ///< judges the rows, without damping
    /// Empty, or [rows, d]: where it is 0 the values are 0 and stay so.
    MatrixView<const std::uint8_t> keep;
};

/// ADMM from some quantised matrices onto the values that their codes can have, in the damped
/// matrix of a SplittingSystem. Scales stay as they are while the codes move. `Solution` has
///   errors                           of its rows
///   decode(values, backend)          writes the values of its codes
///   limits(keep)                     what its codes can stand for, as MatrixLimits
///   take_codes(values, backend)      takes the codes of values within those limits
/// and there are copy_of(solution, backend) and keep_better_rows(best, other,
/// backend).
template <class Solution>
class SplittingSearch {
public:
    SplittingSearch(const GridProblem& problem, SplittingSystem& system,
                    const kernels::Backend& backend, std::span<Solution* const> solutions)
        : problem_(problem),
          system_(system),
          backend_(backend),
          best_(solutions),
          target_(backend.allocate<float>(size())),
          x_(backend.allocate<float>(size())),
          y_(backend.allocate<float>(size())) {
        system_.multiply(problem.weight, matrix(target_));
        for (const Solution* solution : solutions) {
            states_.push_back(backend.allocate<float>(size()));
            solution->decode(matrix(states_.back()), backend);
            backend.project(matrix(states_.back()), solution->limits(problem.keep),
                            matrix(states_.back()));
            trials_.push_back(copy_of(*solution, backend));
        }
    }

    /// The best that is seen of each row goes into `solutions`.
    void run() {
        for (std::size_t phase = 0; phase < n_splitting_phases; ++phase) {
            const double rho = penalty_of_phase(phase);
            const double before = penalty_of_phase(phase == 0 ? 0 : phase - 1);
            const MatrixView<const float> inverse = system_.inverse(rho);
            for (std::size_t i = 0; i < states_.size(); ++i) {
                iterate(i, rho, static_cast<float>(before / rho), inverse);
            }
        }
    }

private:
    [[nodiscard]] std::size_t size() const { return problem_.weight.rows * problem_.weight.cols; }
    [[nodiscard]] MatrixView<float> matrix(const kernels::Array<float>& memory) const {
        return memory.matrix(problem_.weight.rows, problem_.weight.cols);
    }

    void iterate(std::size_t i, double rho, float shrink, MatrixView<const float> inverse) {
        const kernels::MatrixLimits within = trials_[i].limits(problem_.keep);
        const std::vector<float> penalty = system_.penalty(rho);
        const MatrixView<float> state = matrix(states_[i]);
        // With X = P(state) a step leaves the state as it is, but for the new penalty.
        backend_.project(state, within, matrix(x_));
        backend_.splitting_step(matrix(x_), state, matrix(target_), penalty, shrink, within);
        for (std::size_t n = 0; n < iterations_per_phase; ++n) {
            backend_.linear(matrix(x_), inverse, {}, matrix(y_));
            std::swap(x_, y_);
            backend_.splitting_step(matrix(x_), state, matrix(target_), penalty, 1.0F, within);
        }
        measure(i);
    }

    /// Keeps the rows of the state's projection that are better than any before.
    void measure(std::size_t i) {
        Solution& trial = trials_[i];
        backend_.project(matrix(states_[i]), trial.limits(problem_.keep), matrix(x_));
        trial.errors = problem_.output_error->of_rows(problem_.weight, matrix(x_));
        trial.take_codes(matrix(x_), backend_);
        keep_better_rows(*best_[i], trial, backend_);
    }

    const GridProblem& problem_;
    SplittingSystem& system_;
    const kernels::Backend& backend_;
    std::span<Solution* const> best_;
    std::vector<Solution> trials_;               ///< scales as they were, codes of the moment
    std::vector<kernels::Array<float>> states_;  ///< as in Backend::splitting_step()
    kernels::Array<float> target_;
    kernels::Array<float> x_;
    kernels::Array<float> y_;
};

}  // namespace lathe
