#include "methods/nm_solver.hpp"

#include <algorithm>
#include <numeric>

#include "kernels/contract/backend.hpp"
#include "lib/core/task_progress.hpp"
#include "methods/binary_coded.hpp"
#include "methods/grid_refinement.hpp"
#include "methods/grouped_tasks.hpp"
#include "methods/host_copy.hpp"
#include "methods/output_error.hpp"
#include "methods/quantised.hpp"

namespace lathe {
namespace {

using kernels::Array;
using kernels::Backend;
using kernels::IntegerGridSettings;

/// The largest number of a type of stored values.
float largest_number(DType dtype) {
    return dtype == DType::f16 ? 65504.0F : dtype == DType::bf16 ? 0x1.FEp127F : 0x1.FFFFFEp127F;
}

/// Solves one unit; holds what its tasks share.
class NmSolver {
public:
    NmSolver(std::span<const UnitTensor> tensors, const UnitStatistics& statistics,
             const Backend& backend)
        : statistics_(statistics),
          backend_(backend),
          unit_(tensors, statistics, backend),
          output_error_(statistics, backend),
          values_(backend.allocate<float>(unit_.rows() * unit_.cols())) {}

    /// All tasks with these places.
    void solve(const PlaceTask& places, std::span<const NmTask> tasks,
               std::span<UnitSolution> solutions) {
        const ErrorFeedback feedback{places.damping};
        if (statistics_.gram.rows > 0 && (!factors_ || factors_->feedback() != feedback)) {
            factors_.emplace(statistics_, feedback, backend_);
        }
        const Pruned pruned = prune(
            places.solver,
            {unit_, places.pattern, statistics_.gram, factors_ ? &*factors_ : nullptr}, backend_);
        Coded<Quantised> integer;
        Coded<BinaryCoded> binary;
        for (std::size_t i = 0; i < tasks.size(); ++i) {
            tell_progress(i, tasks.size());
            if (tasks[i].places != places) {
                continue;
            }
            if (tasks[i].num_bits == 0) {
                store_values(tasks[i], pruned, solutions[i]);
            } else if (tasks[i].binary) {
                binary.add(i, fit_levels(tasks[i], pruned));
            } else {
                integer.add(i, quantise(tasks[i], pruned));
            }
        }
        if (is_admm(places.solver)) {
            const GridProblem problem{unit_.weight(), &output_error_, pruned.keep()};
            refine_on_grid(problem, factors_->system(), integer.pointers(), backend_);
            refine_on_levels(problem, factors_->system(), binary.pointers(), backend_);
        }
        for (std::size_t n = 0; n < integer.tasks.size(); ++n) {
            const std::size_t i = integer.tasks[n];
            const Quantised& q = integer.solutions[n];
            store_codes(tasks[i], pruned, q.codes(), q.scales(), q.errors, solutions[i]);
        }
        for (std::size_t n = 0; n < binary.tasks.size(); ++n) {
            const std::size_t i = binary.tasks[n];
            const BinaryCoded& b = binary.solutions[n];
            store_codes(tasks[i], pruned, b.view().codes, b.view().scales, b.errors, solutions[i]);
        }
    }

private:
    /// Solutions with codes of one kind, and the tasks they are for.
    template <class Solution>
    struct Coded {
        std::vector<std::size_t> tasks;
        std::vector<Solution> solutions;

        void add(std::size_t task, Solution&& solution) {
            tasks.push_back(task);
            solutions.push_back(std::move(solution));
        }
        [[nodiscard]] std::vector<Solution*> pointers() {
            std::vector<Solution*> all;
            for (Solution& solution : solutions) {
                all.push_back(&solution);
            }
            return all;
        }
    };

    static bool is_admm(PruningSolver solver) {
        return solver == PruningSolver::admm || solver == PruningSolver::admm_fixed;
    }

    [[nodiscard]] MatrixView<float> values() const {
        return values_.matrix(unit_.rows(), unit_.cols());
    }

    /// Grids fitted to the values that stay, and codes: rounded to nearest, or for each row the
    /// better of that and error feedback.
    [[nodiscard]] Quantised quantise(const NmTask& task, const Pruned& pruned) {
        const IntegerGridSettings grid{task.num_bits, task.group_size, true};
        Quantised best(unit_.rows(), unit_.cols(), grid, backend_);
        backend_.fit_integer_grid(pruned.values(), unit_.importance(), grid, best.scales(),
                                  best.zeros());
        backend_.round_to_grid(pruned.values(), grid, best.scales(), best.zeros(), best.codes(),
                               values());
        best.errors = output_error_.of_rows(unit_.weight(), values());
        const PruningSolver solver = task.places.solver;
        if (solver == PruningSolver::magnitude || solver == PruningSolver::wanda) {
            return best;
        }
        Quantised swept = copy_of(best, backend_);
        backend_.copy(pruned.values(), values());
        backend_.sweep_sparse(values(), factors_->inverse_factor(), {}, pruned.keep(), &grid,
                              swept.scales(), swept.zeros());
        backend_.round_to_grid(values(), grid, swept.scales(), swept.zeros(), swept.codes(),
                               values());
        swept.errors = output_error_.of_rows(unit_.weight(), values());
        keep_better_rows(best, swept, backend_);
        return best;
    }

    /// Binary codes fitted to the values that stay, each by itself.
    [[nodiscard]] BinaryCoded fit_levels(const NmTask& task, const Pruned& pruned) {
        BinaryCoded coded(unit_.rows(), unit_.cols(), {task.num_bits, task.group_size, false},
                          backend_);
        backend_.fit_binary_codes(pruned.values(), unit_.importance(), coded.settings,
                                  pruned.keep(), coded.view());
        coded.decode(values(), backend_);
        backend_.project(values(), coded.limits(pruned.keep()), values());
        coded.errors = output_error_.of_rows(unit_.weight(), values());
        return coded;
    }

    void store_codes(const NmTask& task, const Pruned& pruned,
                     MatrixView<const std::uint8_t> unit_codes, MatrixView<const float> unit_scales,
                     const std::vector<double>& errors, UnitSolution& solution) const {
        const HostCopy keep(pruned.keep(), backend_);
        const HostCopy codes(unit_codes, backend_);
        const HostCopy scales(unit_scales, backend_);
        for (std::size_t t = 0; t < unit_.tensors().size(); ++t) {
            const UnitTensor& tensor = unit_.tensors()[t];
            solution.tensors.push_back(encode_nm_codes(
                tensor.shape, task.layout(tensor.source_dtype), unit_.rows_of(t, keep.view()),
                unit_.rows_of(t, codes.view()), unit_.rows_of(t, scales.view())));
        }
        solution.error = std::accumulate(errors.begin(), errors.end(), 0.0);
    }

    void store_values(const NmTask& task, const Pruned& pruned, UnitSolution& solution) const {
        const HostCopy keep(pruned.keep(), backend_);
        HostCopy kept(pruned.values(), backend_);
        for (std::size_t t = 0; t < unit_.tensors().size(); ++t) {
            const UnitTensor& tensor = unit_.tensors()[t];
            const NmLayout layout = task.layout(tensor.source_dtype);
            const float limit = largest_number(layout.value_type);
            const MatrixView<float> part = unit_.rows_of(t, kept.view());
            for (std::size_t r = 0; r < part.rows; ++r) {
                std::transform(part.row(r), part.row(r) + part.cols, part.row(r),
                               [limit](float value) { return std::clamp(value, -limit, limit); });
            }
            solution.tensors.push_back(
                encode_nm_values(tensor.shape, layout, unit_.rows_of(t, keep.view()), part));
            decode(solution.tensors.back(), part);
        }
        const std::vector<double> errors = output_error_.of_rows(unit_.weight(), kept.view());
        solution.error = std::accumulate(errors.begin(), errors.end(), 0.0);
    }

    const UnitStatistics& statistics_;
    const Backend& backend_;
    StackedUnit unit_;
    OutputError output_error_;
    Array<float> values_;
    std::optional<UnitFactors> factors_;
};

}  // namespace

NmLayout NmTask::layout(DType source_dtype) const {
    const DType stored = source_dtype == DType::f64 ? DType::f32 : source_dtype;
    return {.n = places.pattern.n,
            .m = places.pattern.m,
            .num_bits = num_bits,
            .group_size = group_size,
            .value_type = value_type.value_or(stored),
            .binary = binary};
}

std::vector<UnitSolution> solve_nm(std::span<const NmTask> tasks,
                                   std::span<const UnitTensor> tensors,
                                   const UnitStatistics& statistics, const Backend& backend) {
    return solve_in_groups<NmSolver>(tasks, &NmTask::places, tensors, statistics, backend);
}

}  // namespace lathe
