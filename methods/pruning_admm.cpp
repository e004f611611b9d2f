#include "methods/pruning_admm.hpp"

#include <algorithm>
#include <functional>
#include <vector>

#include "methods/host_copy.hpp"

namespace lathe {
namespace {

using kernels::Array;
using kernels::Backend;
using kernels::MatrixLimits;

constexpr std::size_t refit_iterations = 10;

/// The schedule of ALPS: the penalty grows with the number of places that changed, fast while many
/// do, and starts again lower if it was too high for any to change.
class PenaltySchedule {
public:
    explicit PenaltySchedule(std::size_t n_kept) : n_kept_(static_cast<double>(n_kept)) {}

    enum class Step { go_on, restart, stop };

    static constexpr std::size_t iterations_per_check = 3;

    [[nodiscard]] double penalty() const { return penalty_; }

    /// After `n_iterations` in all, when `n_changed` places differ from the last check.
    Step check(std::size_t n_iterations, std::size_t n_changed) {
        const double changed = static_cast<double>(n_changed);
        if (n_iterations >= 300 || (n_iterations >= 30 && changed < 3e-4 * n_kept_)) {
            return Step::stop;
        }
        if (!has_grown_ && changed <= 0.005 * n_kept_ && n_restarts_ < 4) {
            penalty_ /= 5.0;
            ++n_restarts_;
            return Step::restart;
        }
        if (n_changed == 0) {
            return Step::stop;
        }
        const double growth = changed > 0.1 * n_kept_ ? 1.3 : changed > 0.005 * n_kept_ ? 1.2 : 1.1;
        penalty_ = std::min(penalty_ * growth, 1e6);
        has_grown_ = true;
        return Step::go_on;
    }

private:
    double n_kept_;
    double penalty_ = 0.1;
    bool has_grown_ = false;
    std::size_t n_restarts_ = 0;
};

/// ADMM on the set of N:M matrices with a live choice of places.
class GrowingPenalty {
public:
    GrowingPenalty(const PruningProblem& problem, SplittingSystem& system, const Backend& backend)
        : weight_(problem.unit.weight()),
          system_(system),
          backend_(backend),
          pruned_(weight_.rows, weight_.cols, backend),
          seen_(backend.allocate<std::uint8_t>(size())),
          target_(backend.allocate<float>(size())),
          state_(backend.allocate<float>(size())),
          x_(backend.allocate<float>(size())),
          y_(backend.allocate<float>(size())) {
        limits_.pattern = problem.pattern;
        limits_.importance = system.diagonal();
        system_.multiply(weight_, matrix(target_));
    }

    Pruned run() {
        restart();
        const std::size_t n_groups =
            (weight_.cols + limits_.pattern.m - 1) / limits_.pattern.m * weight_.rows;
        PenaltySchedule schedule(n_groups * limits_.pattern.n);
        double penalty = schedule.penalty();
        MatrixView<const float> inverse = begin_phase(penalty, 1.0);
        while (true) {
            for (std::size_t i = 0; i < PenaltySchedule::iterations_per_check; ++i) {
                iterate(penalty, inverse);
            }
            const auto step = schedule.check(pruned_.n_iterations, count_changes());
            if (step == PenaltySchedule::Step::stop) {
                break;
            }
            if (step == PenaltySchedule::Step::restart) {
                restart();
            }
            const double shrink =
                step == PenaltySchedule::Step::restart ? 1.0 : penalty / schedule.penalty();
            penalty = schedule.penalty();
            inverse = begin_phase(penalty, shrink);
        }
        finish(inverse);
        return std::move(pruned_);
    }

private:
    [[nodiscard]] std::size_t size() const { return weight_.rows * weight_.cols; }
    template <class T>
    [[nodiscard]] MatrixView<T> matrix(const Array<T>& memory) const {
        return memory.matrix(weight_.rows, weight_.cols);
    }

    /// D = P(W), no dual.
    void restart() {
        backend_.project(weight_, limits_, matrix(state_));
        backend_.choose_pattern(matrix(state_), limits_.importance, limits_.pattern, matrix(seen_));
    }

    /// The right side for this penalty; the dual is scaled down as the penalty grows.
    MatrixView<const float> begin_phase(double penalty, double shrink) {
        // With X = P(state) a step leaves the state as it is, but for the new penalty.
        backend_.project(matrix(state_), limits_, matrix(x_));
        backend_.splitting_step(matrix(x_), matrix(state_), matrix(target_),
                                system_.penalty(penalty), static_cast<float>(shrink), limits_);
        return system_.inverse(penalty);
    }

    void iterate(double penalty, MatrixView<const float> inverse) {
        backend_.linear(matrix(x_), inverse, {}, matrix(y_));
        std::swap(x_, y_);
        backend_.splitting_step(matrix(x_), matrix(state_), matrix(target_),
                                system_.penalty(penalty), 1.0F, limits_);
        ++pruned_.n_iterations;
    }

    /// Places that differ from those of the last call.
    std::size_t count_changes() {
        backend_.choose_pattern(matrix(state_), limits_.importance, limits_.pattern,
                                pruned_.keep());
        const std::vector<std::uint8_t> now = backend_.to_host(pruned_.keep());
        const std::vector<std::uint8_t> before = backend_.to_host(matrix(seen_));
        std::size_t n_changed = 0;
        for (std::size_t i = 0; i < size(); ++i) {
            n_changed += now[i] != before[i] ? 1 : 0;
        }
        std::swap(pruned_.keep_memory, seen_);
        return n_changed;
    }

    /// The places of X rather than of X + dual, and the best values there.
    void finish(MatrixView<const float> inverse) {
        backend_.linear(matrix(x_), inverse, {}, matrix(y_));
        backend_.choose_pattern(matrix(y_), limits_.importance, limits_.pattern, pruned_.keep());
        pruned_.take_kept(matrix(y_), backend_);
        refit(weight_, system_, pruned_.keep(), pruned_.values(), refit_iterations, backend_);
        polish();
    }

    /// Exchanges places while the error falls, and fits the values to those found.
    void polish() {
        constexpr std::size_t n_passes = 2;
        backend_.subtract(pruned_.values(), weight_, matrix(x_));
        system_.multiply(matrix(x_), matrix(y_));
        backend_.exchange_places(system_.matrix(), limits_.pattern, n_passes, pruned_.keep(),
                                 pruned_.values(), matrix(y_));
        refit(weight_, system_, pruned_.keep(), pruned_.values(), refit_iterations, backend_);
    }

    MatrixView<const float> weight_;
    SplittingSystem& system_;
    const Backend& backend_;
    MatrixLimits limits_;
    Pruned pruned_;
    Array<std::uint8_t> seen_;
    Array<float> target_;
    Array<float> state_;  ///< as in Backend::splitting_step()
    Array<float> x_;
    Array<float> y_;
};

/// The places that stay: all of each row but the `n_dropped` with the smallest scores among those
/// that are not the n best of their group of m, which `keep` holds at first.
void keep_more(MatrixView<const float> state, std::span<const float> diagonal,
               std::size_t n_dropped, MatrixView<std::uint8_t> keep, const Backend& backend) {
    const HostCopy values(state, backend);
    HostCopy places(keep, backend);
    std::vector<float> scores(state.cols);
    std::vector<std::size_t> others;
    for (std::size_t r = 0; r < state.rows; ++r) {
        std::uint8_t* row = places.view().row(r);
        others.clear();
        for (std::size_t j = 0; j < state.cols; ++j) {
            const float value = values.view()(r, j);
            scores[j] = diagonal[j] * value * value;
            if (row[j] == 0) {
                others.push_back(j);
                row[j] = 1;
            }
        }
        const std::size_t n = std::min(n_dropped, others.size());
        std::nth_element(others.begin(), others.begin() + static_cast<std::ptrdiff_t>(n),
                         others.end(), [&](std::size_t a, std::size_t b) {
                             return scores[a] != scores[b] ? scores[a] < scores[b] : a < b;
                         });
        for (std::size_t i = 0; i < n; ++i) {
            row[others[i]] = 0;
        }
    }
    backend.copy(places.view(), keep);
}

}  // namespace

Pruned prune_with_growing_penalty(const PruningProblem& problem, const Backend& backend) {
    return GrowingPenalty(problem, problem.factors->system(), backend).run();
}

Pruned prune_with_fixed_penalty(const PruningProblem& problem, const Backend& backend) {
    constexpr std::size_t n_growing = 15;
    constexpr std::size_t n_all = 20;
    const MatrixView<const float> weight = problem.unit.weight();
    SplittingSystem system(problem.gram, 0.1, backend);
    const MatrixView<const float> inverse = system.inverse(1.0);
    const std::vector<float> penalty = system.penalty(1.0);
    Pruned pruned(weight.rows, weight.cols, backend);
    const auto allocate = [&] { return backend.allocate<float>(weight.rows * weight.cols); };
    const auto matrix = [&](const Array<float>& m) { return m.matrix(weight.rows, weight.cols); };
    const Array<float> target = allocate();
    const Array<float> state = allocate();
    const Array<float> right = allocate();
    system.multiply(weight, matrix(target));
    backend.copy(weight, matrix(state));
    kernels::MatrixLimits limits;
    limits.keep = pruned.keep();
    const double sparsity =
        1.0 - static_cast<double>(problem.pattern.n) / static_cast<double>(problem.pattern.m);
    for (std::size_t t = 0; t < n_all; ++t) {
        if (t < n_growing) {
            backend.choose_pattern(matrix(state), system.diagonal(), problem.pattern,
                                   pruned.keep());
            if (t + 1 < n_growing) {
                const double left = 1.0 - static_cast<double>(t + 1) / n_growing;
                const double share = sparsity * (1.0 - left * left * left);
                keep_more(matrix(state), system.diagonal(),
                          static_cast<std::size_t>(share * static_cast<double>(weight.cols)),
                          pruned.keep(), backend);
            }
        }
        pruned.take_kept(matrix(state), backend);
        // With X = P(state) a step leaves the state as it is and makes the right side.
        backend.copy(pruned.values(), matrix(right));
        backend.splitting_step(matrix(right), matrix(state), matrix(target), penalty, 1.0F, limits);
        backend.subtract(matrix(state), pruned.values(), matrix(state));  // the dual
        backend.linear(matrix(right), inverse, {}, pruned.values());
        backend.add(pruned.values(), matrix(state));
        ++pruned.n_iterations;
    }
    pruned.take_kept(matrix(state), backend);
    return pruned;
}

}  // namespace lathe
