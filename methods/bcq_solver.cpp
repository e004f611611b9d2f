#include "methods/bcq_solver.hpp"

#include <numeric>

#include "lib/core/task_progress.hpp"
#include "methods/binary_coded.hpp"
#include "methods/grid_refinement.hpp"
#include "methods/grouped_tasks.hpp"
#include "methods/host_copy.hpp"
#include "methods/output_error.hpp"
#include "methods/stacked_unit.hpp"

namespace lathe {
namespace {

using kernels::Array;
using kernels::Backend;

/// Solves one unit; holds what its tasks share.
class UnitSolver {
public:
    UnitSolver(std::span<const UnitTensor> tensors, const UnitStatistics& statistics,
               const Backend& backend)
        : statistics_(statistics),
          backend_(backend),
          unit_(tensors, statistics, backend),
          output_error_(statistics, backend),
          value_memory_(backend.allocate<float>(unit_.rows() * unit_.cols())) {}

    /// Those of the tasks that work with the factors of one damping, or with none.
    void solve(std::optional<double> damping, std::span<const BcqTask> tasks,
               std::span<UnitSolution> solutions) {
        std::optional<UnitFactors> factors;
        if (damping) {
            factors.emplace(statistics_, ErrorFeedback{*damping}, backend_);
        }
        std::vector<std::size_t> own;
        std::vector<BinaryCoded> coded;
        for (std::size_t i = 0; i < tasks.size(); ++i) {
            tell_progress(i, tasks.size());
            if (tasks[i].damping == damping) {
                own.push_back(i);
                coded.push_back(fit(tasks[i]));
                if (factors) {
                    keep_better_rows(coded.back(), sweep(tasks[i], factors->inverse_factor()),
                                     backend_);
                }
            }
        }
        std::vector<BinaryCoded*> to_refine;
        for (std::size_t n = 0; n < own.size(); ++n) {
            if (tasks[own[n]].refine) {
                to_refine.push_back(&coded[n]);
            }
        }
        if (!to_refine.empty()) {
            factors.value().release_inverse_factor();
            refine_on_levels({unit_.weight(), &output_error_, {}}, factors.value().system(),
                             to_refine, backend_);
        }
        for (std::size_t n = 0; n < own.size(); ++n) {
            store(tasks[own[n]], coded[n], solutions[own[n]]);
        }
    }

private:
    [[nodiscard]] MatrixView<float> values() const {
        return value_memory_.matrix(unit_.rows(), unit_.cols());
    }
    [[nodiscard]] BinaryCoded empty(const BcqTask& task) const {
        return {unit_.rows(),
                unit_.cols(),
                {task.layout.num_bits, task.layout.group_size, task.layout.offset, task.n_rounds},
                backend_};
    }
    void measure(BinaryCoded& coded) const {
        coded.errors = output_error_.of_rows(unit_.weight(), values());
    }

    [[nodiscard]] BinaryCoded fit(const BcqTask& task) const {
        BinaryCoded coded = empty(task);
        backend_.fit_binary_codes(unit_.weight(), unit_.importance(), coded.settings, {},
                                  coded.view());
        coded.decode(values(), backend_);
        measure(coded);
        return coded;
    }

    [[nodiscard]] BinaryCoded sweep(const BcqTask& task, MatrixView<const float> factor) const {
        BinaryCoded coded = empty(task);
        backend_.copy(unit_.weight(), values());
        backend_.sweep_binary_codes(values(), factor, unit_.importance(), coded.settings,
                                    coded.view());
        measure(coded);
        return coded;
    }

    void store(const BcqTask& task, const BinaryCoded& coded, UnitSolution& solution) const {
        const HostCopy codes(coded.view().codes, backend_);
        const HostCopy scales(coded.view().scales, backend_);
        const HostCopy offsets(coded.view().offsets, backend_);
        for (std::size_t t = 0; t < unit_.tensors().size(); ++t) {
            solution.tensors.push_back(
                encode_bcq(unit_.tensors()[t].shape, task.layout, unit_.rows_of(t, codes.view()),
                           unit_.rows_of(t, scales.view()), unit_.rows_of(t, offsets.view())));
        }
        solution.error = std::accumulate(coded.errors.begin(), coded.errors.end(), 0.0);
    }

    const UnitStatistics& statistics_;
    const Backend& backend_;
    StackedUnit unit_;
    OutputError output_error_;
    Array<float> value_memory_;
};

}  // namespace

std::vector<UnitSolution> solve_bcq(std::span<const BcqTask> tasks,
                                    std::span<const UnitTensor> tensors,
                                    const UnitStatistics& statistics, const Backend& backend) {
    return solve_in_groups<UnitSolver>(tasks, &BcqTask::damping, tensors, statistics, backend);
}

}  // namespace lathe
