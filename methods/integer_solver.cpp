#include "methods/integer_solver.hpp"

#include <algorithm>
#include <numeric>

#include "kernels/contract/backend.hpp"
#include "lib/core/task_progress.hpp"
#include "methods/grid_refinement.hpp"
#include "methods/grouped_tasks.hpp"
#include "methods/host_copy.hpp"
#include "methods/output_error.hpp"
#include "methods/quantised.hpp"
#include "methods/setting_keys.hpp"
#include "methods/stacked_unit.hpp"

namespace lathe {
namespace {

using kernels::Array;
using kernels::Backend;
using kernels::IntegerGridSettings;

/// Solves one unit; holds what its tasks share.
class UnitSolver {
public:
    UnitSolver(std::span<const UnitTensor> tensors, const UnitStatistics& statistics,
               const Backend& backend)
        : statistics_(statistics),
          backend_(backend),
          unit_(tensors, statistics, backend),
          output_error_(statistics, backend),
          values_(backend.allocate<float>(unit_.rows() * unit_.cols())) {}

    /// All tasks of one feedback.
    void solve(const std::optional<ErrorFeedback>& feedback, std::span<const IntegerTask> tasks,
               std::span<UnitSolution> solutions) {
        std::optional<UnitFactors> factors;
        if (feedback) {
            factors.emplace(statistics_, *feedback, backend_);
        }
        std::vector<std::size_t> to_refine;
        std::vector<Quantised> starts;
        for (std::size_t i = 0; i < tasks.size(); ++i) {
            tell_progress(i, tasks.size());
            if (tasks[i].feedback != feedback) {
                continue;
            }
            Quantised start = start_of(tasks[i], factors);
            if (tasks[i].refine) {
                to_refine.push_back(i);
                starts.push_back(std::move(start));
            } else {
                store(tasks[i], start, solutions[i]);
            }
        }
        if (to_refine.empty()) {
            return;
        }
        factors.value().release_inverse_factor();
        refine(factors->system(), starts);
        for (std::size_t n = 0; n < to_refine.size(); ++n) {
            store(tasks[to_refine[n]], starts[n], solutions[to_refine[n]]);
        }
    }

private:
    /// Rounding to nearest or, with factors, the better of that and error feedback for each row.
    [[nodiscard]] Quantised start_of(const IntegerTask& task,
                                     std::optional<UnitFactors>& factors) const {
        const IntegerGridSettings grid{
            .num_bits = task.layout.num_bits,
            .group_size = task.layout.group_size,
            .symmetric = task.layout.symmetric,
            .powers_of_two = task.blocks && task.blocks->has_shifts(),
            .whole_range = task.whole_range,
            .scale_bits = task.scale_bits,
            .float8_scales = task.layout.float8_scales,
        };
        Quantised best = round_to_nearest(grid);
        if (factors) {
            keep_better_rows(best, sweep(grid, *factors), backend_);
        }
        return best;
    }

    [[nodiscard]] MatrixView<float> values() const {
        return values_.matrix(unit_.rows(), unit_.cols());
    }

    [[nodiscard]] Quantised round_to_nearest(const IntegerGridSettings& grid) const {
        Quantised q(unit_.rows(), unit_.cols(), grid, backend_);
        backend_.fit_integer_grid(unit_.weight(), unit_.importance(), grid, q.scales(), q.zeros());
        backend_.round_to_grid(unit_.weight(), grid, q.scales(), q.zeros(), q.codes(), values());
        q.errors = output_error_.of_rows(unit_.weight(), values());
        return q;
    }

    [[nodiscard]] Quantised sweep(const IntegerGridSettings& grid, UnitFactors& factors) const {
        Quantised q(unit_.rows(), unit_.cols(), grid, backend_);
        backend_.copy(unit_.weight(), values());
        backend_.gptq(values(), factors.inverse_factor(), unit_.importance(), factors.order(), grid,
                      q.scales(), q.zeros(), q.codes());
        q.errors = output_error_.of_rows(unit_.weight(), values());
        return q;
    }

    void refine(SplittingSystem& system, std::vector<Quantised>& solutions) const {
        std::vector<Quantised*> pointers;
        for (Quantised& solution : solutions) {
            pointers.push_back(&solution);
        }
        refine_on_grid({unit_.weight(), &output_error_, {}}, system, pointers, backend_);
    }

    /// Encodes the tensors of the unit.
    void store(const IntegerTask& task, const Quantised& q, UnitSolution& solution) const {
        const HostCopy codes(q.codes(), backend_);
        const HostCopy scales(q.scales(), backend_);
        const HostCopy zeros(q.zeros(), backend_);
        for (std::size_t t = 0; t < unit_.tensors().size(); ++t) {
            const Shape& shape = unit_.tensors()[t].shape;
            const auto own_codes = unit_.rows_of(t, codes.view());
            const auto own_scales = unit_.rows_of(t, scales.view());
            solution.tensors.push_back(
                task.blocks ? encode_block_shift(shape, *task.blocks, own_codes, own_scales)
                            : encode_integer(shape, task.layout, own_codes, own_scales,
                                             unit_.rows_of(t, zeros.view())));
        }
        solution.error = std::accumulate(q.errors.begin(), q.errors.end(), 0.0);
    }

    const UnitStatistics& statistics_;
    const Backend& backend_;
    StackedUnit unit_;
    OutputError output_error_;
    Array<float> values_;
};

}  // namespace

double integer_flops(const IntegerTask& task, const Shape& shape) {
    const auto [rows, cols] = matrix_extents(shape);
    const auto d = static_cast<double>(cols);
    const double product = 2.0 * static_cast<double>(rows) * d * d;
    if (!task.feedback) {
        return 0.5 * product;  // the symmetric half of a product, for the errors
    }
    const double feedback = d * d * d + 2.0 * product;
    // About 60 products with an inverse, 10 inverses, errors and two passes of descent.
    return task.refine ? feedback + 70.0 * product + 20.0 * d * d * d : feedback;
}

bool uses_feedback(const Setting& setting) {
    return setting_value(setting, "solver") != "rtn";
}

std::string refuses_feedback(const Setting& setting, const UnitSpec& unit, const Shape& /*shape*/,
                             DType /*source_dtype*/) {
    if (unit.input != Signal::token_ids || !uses_feedback(setting)) {
        return "";
    }
    return "solver " + setting_value(setting, "solver") +
           " needs the Gram matrix of a unit's input, and unit " + unit.name +
           " looks up token ids; use solver rtn";
}

std::vector<UnitSolution> solve_integer(std::span<const IntegerTask> tasks,
                                        std::span<const UnitTensor> tensors,
                                        const UnitStatistics& statistics, const Backend& backend) {
    return solve_in_groups<UnitSolver>(tasks, &IntegerTask::feedback, tensors, statistics, backend);
}

}  // namespace lathe
